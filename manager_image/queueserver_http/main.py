"""The program `start-bluesky-httpserver` (http-api 6)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import logging.config
import os
import signal
import socket
import sys
from collections.abc import Sequence

import uvicorn

from queueserver_common import __version__
from queueserver_http import loggers
from queueserver_http.application import Application
from queueserver_http.configuration.settings import DEFAULT_PORT, Configuration
from queueserver_http.configuration.sources import ConfigurationError, load
from queueserver_http.middleware.connections import limited, websocket_protocol

EXIT_CONFIGURATION = 2
EXIT_ADDRESS = 3
_GRACE_S = 10
"""Seconds that requests have when the server is told to end."""

_KEEP_ALIVE_S = 65
_LONGEST_HEAD = 64 * 1024

_log = logging.getLogger(loggers.SERVER)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is told to end; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        configuration = load(options.config_path, os.environ, public=options.public)
        _set_up_logging(configuration)
        application = Application(configuration)
    except ConfigurationError as error:
        print(f"start-bluesky-httpserver: {error}", file=sys.stderr)  # noqa: T201 - a program of the terminal
        return EXIT_CONFIGURATION
    listen = configuration.uvicorn
    host, port = options.host or listen.host, listen.port if options.port is None else options.port
    return _Server(application, host, port).serve_to_the_end()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="start-bluesky-httpserver", description="Serve the manager of a queue server over HTTP."
    )
    parser.add_argument("--host", help="address to listen at (localhost)")
    parser.add_argument("--port", type=int, help=f"port to listen at ({DEFAULT_PORT})")
    parser.add_argument("--public", action="store_true", help="allow requests without credentials to read the status")
    parser.add_argument(
        "--config_path", "--config-path", metavar="PATH", help="configuration: a YAML file or a directory"
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _set_up_logging(configuration: Configuration) -> None:
    if configuration.uvicorn.log_config:
        try:
            logging.config.fileConfig(configuration.uvicorn.log_config, disable_existing_loggers=False)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConfigurationError(f"uvicorn/log_config cannot be used: {error}.") from None
        return
    level = {"trace": "DEBUG"}.get(configuration.uvicorn.log_level, configuration.uvicorn.log_level.upper())
    logging.basicConfig(level=level, format="%(levelname)s: %(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    access = logging.getLogger(loggers.ACCESS)
    access.propagate = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    access.addHandler(handler)


class _Server(uvicorn.Server):
    """uvicorn with the application's own beginning and end."""

    def __init__(self, application: Application, host: str, port: int) -> None:
        self._application = application
        self._host, self._port = host, port
        listen, server = application.configuration.uvicorn, application.configuration.server_configuration
        self._scheme = "https" if listen.ssl_certfile else "http"
        super().__init__(
            uvicorn.Config(
                application.asgi,
                host=host,
                port=port,
                root_path=listen.root_path,
                loop="uvloop",
                http=limited(server.head_timeout, server.connection_limit),
                ws=websocket_protocol,  # type: ignore[arg-type]  # uvicorn calls it, whatever it is
                ws_max_size=64 * 1024,
                ws_per_message_deflate=False,
                ws_ping_interval=20.0,
                ws_ping_timeout=20.0,
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=True,
                proxy_headers=listen.forwarded_allow_ips is not None,
                forwarded_allow_ips=listen.forwarded_allow_ips,
                ssl_certfile=listen.ssl_certfile,
                ssl_keyfile=listen.ssl_keyfile,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
                backlog=2048,
                h11_max_incomplete_event_size=_LONGEST_HEAD,
            )
        )

    def serve_to_the_end(self) -> int:
        try:
            listening = _bind(self._host, self._port)
        except OSError as error:
            text = f"cannot listen at {self._host}:{self._port}: {error.strerror or error}"
            print(f"start-bluesky-httpserver: {text}", file=sys.stderr)  # noqa: T201 - a program of the terminal
            return EXIT_ADDRESS
        port = listening[0].getsockname()[1]
        self._announce(port)
        signal.signal(signal.SIGTERM, _after_the_end)
        # After an orderly end uvicorn raises again what ended it; after a start that failed, SystemExit.
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            self.run(sockets=listening)
        return 0 if self.started else EXIT_CONFIGURATION

    def _announce(self, port: int) -> None:
        """Where the server is; with the key that it made itself, which is shown nowhere else."""
        address = f"{self._scheme}://{self._host}:{port}"
        configuration = self._application.configuration
        if configuration.accounts or configuration.authentication.single_user_api_key:
            _log.info("Listening at %s", address)
        else:
            _log.info("Listening at %s?api_key=%s", address, self._application.single_user_key)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams never end by themselves."""
        self._application.prepare_stop()
        await asyncio.sleep(0)
        await super().shutdown(sockets)


def _after_the_end(number: int, frame: object) -> None:
    """Uvicorn sends the signal again after an orderly end, which is then no reason to die of it."""


def _bind(host: str, port: int) -> list[socket.socket]:
    """Sockets of all addresses of a name, all with one port: localhost is often two of them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = socket.socket(family, kind, protocol)
            except OSError:
                continue  # an address family that this machine lacks
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            taken = sockets[0].getsockname()[1] if port == 0 and len(sockets) > 1 else port
            try:
                one.bind((address[0], taken, *address[2:]))
            except OSError:
                if len(sockets) == 1 and len(found) == 1:
                    raise
                sockets.remove(one)
                one.close()
                if family == socket.AF_INET:
                    raise
    except BaseException:
        for one in sockets:
            one.close()
        raise
    if not sockets:
        raise OSError(f"the host {host!r} has no address on this machine")
    return sockets


if __name__ == "__main__":
    sys.exit(main())
