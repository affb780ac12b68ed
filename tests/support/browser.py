"""A real browser, and a page of another server that it can be on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from http_in_a_thread import serving
from kind.servers import CHROMIUM, find

_FETCH = """async ([url, options]) => {
    const reply = await fetch(url, options);
    return [reply.status, await reply.text()];
}"""

_SOCKET = """([url, first]) => new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onopen = () => { if (first !== null) socket.send(JSON.stringify(first)); };
    socket.onmessage = (event) => { resolve(JSON.parse(event.data)); socket.close(); };
    socket.onclose = (event) => resolve(event.code);
    setTimeout(() => resolve("nothing"), 30000);
})"""


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium without a window. Nothing may use an event loop of its own in this thread meanwhile."""
    chromium = find(CHROMIUM)
    with sync_playwright() as playwright:
        # The pages are those of the tests, and root has no sandbox.
        browser = playwright.chromium.launch(
            executable_path=chromium.program, env=dict(chromium.environment), chromium_sandbox=False
        )
        yield browser
        browser.close()


@contextmanager
def page_server() -> Iterator[str]:
    """A server whose only page is empty; yields its origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>A page of another server</title>")

    with serving(Handler) as port:
        yield f"http://localhost:{port}"


def fetch(page: Page, url: str, **options: Any) -> tuple[int, str]:
    """Status and text of what a script of the page gets; playwright's `Error` when the browser gives it nothing."""
    status, text = page.evaluate(_FETCH, [url, options])
    return status, text


def first_message(page: Page, url: str, credentials: object = None) -> Any:
    """The first message of a websocket that a script of the page opens, or the code with which it was closed.

    "nothing" when neither comes within 30 s.
    """
    return page.evaluate(_SOCKET, [url, credentials])
