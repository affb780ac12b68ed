"""A real browser: the page with the description, pages of graphical clients, pages of strangers, logging in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page

from browser import fetch, first_message, page_server, running_browser
from contract_manager import ContractManager, plan
from http_accounts import configuration_with
from identity_providers import OpenIdProvider
from ports import free_ports
from queueserver_http.routes.table import HTTP_ROUTES, WEBSOCKET_ROUTES
from running_http_server import KEY, RunningHttpServer

Start = Callable[..., RunningHttpServer]

AUTHORIZED = {"Authorization": f"ApiKey {KEY}", "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a person who has not been here before."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def origin() -> Iterator[str]:
    """The origin of pages of another server."""
    with page_server() as origin:
        yield origin


def errors(page: Page) -> list[str]:
    """What the browser complains of from now on: also what a page may not load by the server's policy."""
    seen: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            seen.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: seen.append(str(error)))
    return seen


def test_the_description_is_a_page_that_needs_no_other_server(page: Page, server: RunningHttpServer) -> None:
    seen, requests = errors(page), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{server.url}/docs")
    assert page.inner_text("h1") == "Bluesky queue server"
    assert page.locator("details").count() == len(HTTP_ROUTES) + len(WEBSOCKET_ROUTES)
    assert page.evaluate("getComputedStyle(document.querySelector('pre')).overflowX") == "auto"
    operation = page.locator("details", has_text="/api/queue/item/add").first
    example = operation.locator("pre")
    assert not example.is_visible()
    operation.locator("summary").click()
    assert example.is_visible()
    assert "curl -X POST" in example.inner_text()
    assert (seen, {url for url in requests if not url.startswith(server.url)}) == ([], set())


@pytest.mark.row("http-api", "CORS", "section allow_origins")
def test_a_page_of_an_admitted_origin_drives_the_queue_server(
    page: Page, origin: str, start_server: Start, manager: ContractManager
) -> None:
    server = start_server(manager, environment={"QSERVER_HTTP_SERVER_ALLOW_ORIGINS": origin})
    api, streams = f"{server.url}/api", f"ws://{server.address}/api"
    page.goto(origin)
    body = json.dumps({"item": plan("count", ["det1"])})
    status, text = fetch(page, f"{api}/queue/item/add", method="POST", headers=AUTHORIZED, body=body)
    assert (status, json.loads(text)["qsize"]) == (200, 1)
    # Browsers send no body with GET.
    uid = json.loads(text)["item"]["item_uid"]
    status, text = fetch(page, f"{api}/queue/item/get?uid={uid}", headers=AUTHORIZED)
    assert json.loads(text)["item"]["name"] == "count"

    # Nor can their scripts send headers with a websocket.
    def ticket() -> str:
        return str(json.loads(fetch(page, f"{api}/auth/ticket", method="POST", headers=AUTHORIZED)[1])["ticket"])

    assert first_message(page, f"{streams}/status/ws?ticket={ticket()}")["msg"]["status"]["items_in_queue"] == 1
    for credentials in ({"api_key": KEY}, {"ticket": ticket()}):
        message = first_message(page, f"{streams}/status/ws?auth=message", credentials)
        assert message["msg"]["status"]["items_in_queue"] == 1
    assert first_message(page, f"{streams}/status/ws?auth=message", {"api_key": "wrong"}) == 4001


@pytest.mark.row("http-api", "CORS", "a failed CSRF check is 403")
def test_a_page_of_a_stranger_gets_and_does_nothing_with_the_cookies_of_a_person(
    page: Page, origin: str, server: RunningHttpServer, manager: ContractManager
) -> None:
    manager.add(plan("count", ["det1"]))
    page.goto(f"{server.url}/api/status?api_key={KEY}")  # sets the cookies
    assert {cookie["name"] for cookie in page.context.cookies()} >= {"bluesky_httpserver_api_key"}
    page.goto(f"{server.url}/api/queue/get")
    assert json.loads(page.inner_text("body"))["success"] is True
    page.goto(origin)
    clear = f"{server.url}/api/queue/clear"
    with pytest.raises(Error, match="Failed to fetch"):
        fetch(page, f"{server.url}/api/status", credentials="include")
    with pytest.raises(Error, match="Failed to fetch"):
        fetch(page, clear, method="POST", credentials="include", headers={"x-csrf": "guessed"})
    fetch(page, clear, method="POST", credentials="include", mode="no-cors")  # is sent, and the page sees nothing of it
    assert first_message(page, f"ws://{server.address}/api/status/ws") == 1006
    with page.expect_navigation() as sent:
        page.evaluate(
            """(url) => {
                const form = document.createElement("form");
                form.method = "POST";
                form.action = url;
                document.body.append(form);
                form.submit();
            }""",
            clear,
        )
    assert sent.value.status == 403
    assert manager.status()["items_in_queue"] == 1


@pytest.mark.row("http-api", "authenticator OIDC")
def test_a_person_logs_in_with_an_openid_provider(
    page: Page, start_server: Start, manager_with_environment: ContractManager
) -> None:
    [port] = free_ports(1)
    code = f"http://localhost:{port}/api/auth/provider/toy/code"
    with OpenIdProvider() as provider:
        settings = configuration_with("OIDCAuthenticator", provider.arguments(code))
        server = start_server(manager_with_environment, configuration=settings, port=port)
        page.goto(code)
        tokens = json.loads(page.inner_text("body"))
    with server.client(Authorization=f"Bearer {tokens['access_token']}") as client:
        assert client.get("/api/auth/whoami").json()["identities"][0]["id"] == "bob"
