"""The OpenAPI document as a page without scripts and without anything from other servers."""

from __future__ import annotations

import html
import json
from functools import cache

from queueserver_http.routes.table import AUTHENTICATED, HTTP_ROUTES, PUBLIC, WEBSOCKET_ROUTES, Route

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
summary { cursor: pointer; padding: .3rem 0; } details { border-bottom: 1px solid #ddd; }
b { display: inline-block; min-width: 6.5rem; font: bold 13px monospace; color: #06c; }
code, pre { font: 13px monospace; background: #f4f4f4; padding: .1rem .3rem; } pre { padding: .6rem; overflow-x: auto; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } code, pre { background: #262626; } }
"""


@cache
def docs_page() -> bytes:
    """The page as UTF-8."""
    operations = "\n".join(_operation(route) for route in (*HTTP_ROUTES, *WEBSOCKET_ROUTES))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Bluesky queue server</title><style>{_STYLE}</style></head>
<body><h1>Bluesky queue server</h1>
<p>Send the header <code>Authorization: Apikey SECRET</code>. A refusal by the manager is a reply with status 200 and
<code>success: false</code>. GET takes its parameters from the query or from a JSON body.
For programs: <a href="openapi.json">openapi.json</a>.</p>
{operations}
</body></html>
"""
    return page.encode()


def _operation(route: Route) -> str:
    scope = {PUBLIC: "open to everybody", AUTHENTICATED: "valid credentials"}.get(route.scope, f"scope {route.scope}")
    fields = "".join(
        f"<li><code>{html.escape(one.name)}</code> {html.escape(one.kind)}{', required' if one.required else ''}</li>"
        for one in route.fields
    )
    return (
        f"<details><summary><b>{route.verb}</b> {html.escape(route.path)}</summary>"
        f"<p>{html.escape(route.summary)} Needs: {html.escape(scope)}.</p>"
        f"<ul>{fields}</ul><pre>{html.escape(_curl(route))}</pre></details>"
    )


def _curl(route: Route) -> str:
    if route.verb == "WEBSOCKET":
        return f'websocat -H "Authorization: ApiKey $KEY" ws://localhost:60610{route.path}'
    command = f'curl -X {route.verb} -H "Authorization: Apikey $KEY" http://localhost:60610{route.path}'
    if not route.example:
        return command
    if route.verb == "GET":
        return command + "?" + "&".join(f"{key}={value}" for key, value in route.example.items())
    return f"{command} \\\n     -H 'Content-Type: application/json' -d '{json.dumps(route.example)}'"
