"""The application for an ASGI server of one's own: `uvicorn queueserver_http.server:app` (http-api 1).

Settings come from the environment and the file that `QSERVER_HTTP_SERVER_CONFIG` names; where to listen is the ASGI
server's matter. Streams have no end of their own, so that server needs a limit for its own end
(`--timeout-graceful-shutdown`). `start-bluesky-httpserver` sets all of this by itself.
"""

from __future__ import annotations

import logging

from queueserver_http import loggers
from queueserver_http.application import Application
from queueserver_http.configuration.sources import load

_application = Application(load())
app = _application.asgi
"""The ASGI application."""

if not _application.configuration.authentication.single_user_api_key and not _application.configuration.accounts:
    logging.getLogger(loggers.SERVER).warning("The API key is %s", _application.single_user_key)
