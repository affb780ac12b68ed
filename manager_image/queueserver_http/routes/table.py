"""The route table: each operation once, with its scope and what its body holds (http-api 2).

A route without a scope is open on purpose and says so by `PUBLIC`. Summaries and parameters of the manager's methods
come from the method table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from queueserver_http.routes.method_table import facts

PUBLIC = ""
"""Scope of a route that asks for no credentials."""

AUTHENTICATED = "authenticated"
"""Scope of a route that asks for valid credentials and no certain scope."""

GET, POST, DELETE, WEBSOCKET = "GET", "POST", "DELETE", "WEBSOCKET"


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a body, which may also be a parameter of the query."""

    name: str
    kind: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `action` is the handler's name; routes of a manager's method have `call` and name the method."""

    verb: str
    path: str
    scope: str
    action: str = "call"
    method: str = ""
    summary: str = ""
    fields: tuple[Field, ...] = ()
    strict: bool = True
    """Other keys than those of `fields` are refused."""
    body_required: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that the path stands for."""
    reload: bool = False
    """`reload` is accepted in the body; every read is fresh anyway but that of the status."""
    example: Mapping[str, Any] | None = None
    takes_user: bool = False
    takes_group: bool = False
    form: str = "json"
    """How the body is written: json, form or multipart."""


def _call(
    verb: str,
    path: str,
    method: str,
    scope: str,
    *,
    action: str = "call",
    extra: tuple[Field, ...] = (),
    required: bool = False,
    reload: bool = False,
    fixed: Mapping[str, Any] | None = None,
    example: Mapping[str, Any] | None = None,
) -> Route:
    """A route of a manager's method."""
    known = facts(method)
    fields = [Field(*one) for one in known.parameters if fixed is None or one[0] not in fixed]
    fields += [*extra, *([Field("reload", "boolean")] if reload else ())]
    return Route(
        verb,
        f"/api{path}",
        scope,
        action,
        method,
        known.summary,
        tuple(fields),
        known.known,
        required,
        fixed or {},
        reload,
        example,
        known.takes_user,
        known.takes_group,
    )


_COUNT = {"item_type": "plan", "name": "count", "args": [["det1"]], "kwargs": {"num": 3}}
_REDUCED = (Field("reduced", "boolean"),)
_MODES = (Field("loop", "boolean"), Field("ignore_failures", "boolean"))

MANAGER_ROUTES: tuple[Route, ...] = (
    _call(GET, "/", "ping", "read:status", action="status", reload=True),
    _call(GET, "/ping", "ping", "read:status", action="status", reload=True),
    _call(GET, "/status", "status", "read:status", action="status", reload=True),
    _call(GET, "/config/get", "config_get", "read:config", action="config"),
    _call(GET, "/queue/get", "queue_get", "read:queue", reload=True),
    _call(POST, "/queue/clear", "queue_clear", "write:queue:edit"),
    _call(POST, "/queue/start", "queue_start", "write:queue:control"),
    _call(POST, "/queue/stop", "queue_stop", "write:queue:control"),
    _call(POST, "/queue/stop/cancel", "queue_stop_cancel", "write:queue:control"),
    _call(POST, "/queue/autostart", "queue_autostart", "write:queue:control", required=True, example={"enable": True}),
    _call(
        POST,
        "/queue/mode/set",
        "queue_mode_set",
        "write:queue:control",
        action="mode_set",
        extra=_MODES,
        required=True,
        example={"mode": {"loop": True}},
    ),
    _call(POST, "/queue/item/add", "queue_item_add", "write:queue:edit", example={"item": _COUNT, "pos": "back"}),
    _call(
        POST,
        "/queue/item/add/batch",
        "queue_item_add_batch",
        "write:queue:edit",
        required=True,
        example={"items": [_COUNT]},
    ),
    _call(POST, "/queue/item/update", "queue_item_update", "write:queue:edit", required=True),
    _call(GET, "/queue/item/get", "queue_item_get", "read:queue", example={"pos": "front"}),
    _call(POST, "/queue/item/remove", "queue_item_remove", "write:queue:edit", required=True, example={"pos": "front"}),
    _call(POST, "/queue/item/remove/batch", "queue_item_remove_batch", "write:queue:edit", required=True),
    _call(
        POST,
        "/queue/item/move",
        "queue_item_move",
        "write:queue:edit",
        required=True,
        example={"pos": "front", "pos_dest": "back"},
    ),
    _call(POST, "/queue/item/move/batch", "queue_item_move_batch", "write:queue:edit", required=True),
    _call(POST, "/queue/item/execute", "queue_item_execute", "write:execute", required=True, example={"item": _COUNT}),
    Route(
        POST,
        "/api/queue/upload/spreadsheet",
        "write:queue:edit",
        "upload_spreadsheet",
        "queue_item_add_batch",
        "Add the plans of a spreadsheet to the queue, all or none.",
        (Field("spreadsheet", "file", True), Field("data_type", "string"), Field("lock_key", "string")),
        takes_user=True,
        takes_group=True,
        form="multipart",
    ),
    _call(GET, "/history/get", "history_get", "read:history", reload=True),
    _call(POST, "/history/clear", "history_clear", "write:history:edit"),
    _call(POST, "/environment/open", "environment_open", "write:manager:control"),
    _call(POST, "/environment/close", "environment_close", "write:manager:control"),
    _call(POST, "/environment/destroy", "environment_destroy", "write:manager:control"),
    _call(POST, "/environment/update", "environment_update", "write:queue:control"),
    _call(POST, "/re/pause", "re_pause", "write:plan:control", example={"option": "deferred"}),
    _call(POST, "/re/resume", "re_resume", "write:plan:control"),
    _call(POST, "/re/stop", "re_stop", "write:plan:control"),
    _call(POST, "/re/abort", "re_abort", "write:plan:control"),
    _call(POST, "/re/halt", "re_halt", "write:plan:control"),
    _call(POST, "/re/runs", "re_runs", "read:monitor", reload=True, example={"option": "active"}),
    _call(GET, "/re/runs/active", "re_runs", "read:monitor", reload=True, fixed={"option": "active"}),
    _call(GET, "/re/runs/open", "re_runs", "read:monitor", reload=True, fixed={"option": "open"}),
    _call(GET, "/re/runs/closed", "re_runs", "read:monitor", reload=True, fixed={"option": "closed"}),
    _call(GET, "/re/metadata", "re_metadata", "read:monitor"),
    _call(GET, "/plans/allowed", "plans_allowed", "read:resources", action="plans", extra=_REDUCED),
    _call(GET, "/plans/existing", "plans_existing", "read:resources", action="plans", extra=_REDUCED),
    _call(GET, "/devices/allowed", "devices_allowed", "read:resources", reload=True),
    _call(GET, "/devices/existing", "devices_existing", "read:resources", reload=True),
    _call(GET, "/permissions/get", "permissions_get", "read:config"),
    _call(POST, "/permissions/set", "permissions_set", "write:permissions", required=True),
    _call(POST, "/permissions/reload", "permissions_reload", "write:config"),
    _call(POST, "/function/execute", "function_execute", "write:execute", required=True),
    _call(POST, "/script/upload", "script_upload", "write:scripts", required=True),
    _call(GET, "/task/status", "task_status", "read:monitor", required=True),
    _call(GET, "/task/result", "task_result", "read:monitor", required=True),
    _call(POST, "/kernel/interrupt", "kernel_interrupt", "write:queue:control"),
    _call(
        POST,
        "/lock",
        "lock",
        "write:lock",
        required=True,
        example={"lock_key": "key", "queue": True, "note": "alignment"},
    ),
    _call(POST, "/unlock", "unlock", "write:lock", required=True, example={"lock_key": "key"}),
    _call(GET, "/lock/info", "lock_info", "read:lock", required=True, reload=True),
    _call(POST, "/manager/stop", "manager_stop", "write:manager:stop", example={"option": "safe_on"}),
    _call(POST, "/test/manager/kill", "manager_kill", "write:testing"),
)

SERVER_ROUTES: tuple[Route, ...] = (
    Route(
        GET,
        "/api/test/server/sleep",
        "read:testing",
        "sleep",
        summary="Answer after some time.",
        fields=(Field("time", "number of seconds", True),),
        body_required=True,
        example={"time": 0.1},
    ),
    Route(
        GET,
        "/api/stream_console_output",
        "read:console",
        "stream_console",
        summary="Console output for ever, one mapping after the other.",
        fields=(Field("format", "'ndjson' for one mapping per line"), Field("since", "sequence number to begin after")),
    ),
    Route(
        GET,
        "/api/console_output",
        "read:console",
        "console_text",
        summary="The last lines of the console.",
        fields=(Field("nlines", "integer, 200 when left out, 2000 at most"),),
        example={"nlines": 20},
    ),
    Route(
        GET,
        "/api/console_output/uid",
        "read:console",
        "console_uid",
        summary="An identifier that changes when text is added to the console.",
    ),
    Route(
        GET,
        "/api/console_output_update",
        "read:console",
        "console_update",
        summary="Messages of the console since one of them; 'ALL' for everything that is kept.",
        fields=(Field("last_msg_uid", "string", True),),
        body_required=True,
        example={"last_msg_uid": "ALL"},
    ),
)

_API_KEY_FIELDS = (
    Field("expires_in", "seconds or null", True),
    Field("scopes", "list of scopes, ['inherit'] when left out"),
    Field("note", "string or null"),
)

AUTH_ROUTES: tuple[Route, ...] = (
    Route(
        POST,
        "/api/auth/provider/{provider}/token",
        PUBLIC,
        "login",
        summary="Tokens for a user name and a password.",
        fields=(Field("username", "string", True), Field("password", "string", True)),
        form="form",
    ),
    Route(
        GET,
        "/api/auth/provider/{provider}/code",
        PUBLIC,
        "login_external",
        summary="Come back from an external provider with a code, or leave for it without one.",
        strict=False,
    ),
    Route(
        POST,
        "/api/auth/provider/{provider}/code",
        PUBLIC,
        "login_external",
        summary="Come back from an external provider with a code.",
        strict=False,
        form="form",
    ),
    Route(
        POST,
        "/api/auth/session/refresh",
        PUBLIC,
        "session_refresh",
        summary="New tokens for a refresh token.",
        fields=(Field("refresh_token", "string", True),),
        body_required=True,
    ),
    Route(
        DELETE,
        "/api/auth/session/revoke/{session_id}",
        AUTHENTICATED,
        "session_revoke",
        summary="End a session of one's own.",
    ),
    Route(
        POST,
        "/api/auth/apikey",
        "user:apikeys",
        "apikey_new",
        summary="Make an API key; its secret is shown this once.",
        fields=_API_KEY_FIELDS,
        body_required=True,
        example={"expires_in": 3600, "scopes": ["read:status"], "note": "status board"},
    ),
    Route(GET, "/api/auth/apikey", AUTHENTICATED, "apikey_info", summary="What is known of the presented API key."),
    Route(
        DELETE,
        "/api/auth/apikey",
        "user:apikeys",
        "apikey_delete",
        summary="Delete an API key of one's own.",
        fields=(Field("first_eight", "string, the first eight characters of the key", True),),
    ),
    Route(GET, "/api/auth/principal", "admin:read:principals", "principals", summary="All principals."),
    Route(GET, "/api/auth/principal/{uuid}", "admin:read:principals", "principal", summary="One principal."),
    Route(
        POST,
        "/api/auth/principal/{uuid}/apikey",
        "admin:apikeys",
        "principal_apikey_new",
        summary="Make an API key for a principal.",
        fields=_API_KEY_FIELDS,
        body_required=True,
    ),
    Route(GET, "/api/auth/whoami", AUTHENTICATED, "whoami", summary="The principal of this request."),
    Route(GET, "/api/auth/scopes", AUTHENTICATED, "scopes", summary="Roles and scopes of this request."),
    Route(
        POST,
        "/api/auth/ticket",
        AUTHENTICATED,
        "ticket",
        summary="A ticket that opens one websocket within 30 s, for browsers, which can send no headers with one.",
    ),
    Route(POST, "/api/auth/logout", PUBLIC, "logout", summary="Delete the cookies."),
)

OPERATING_ROUTES: tuple[Route, ...] = (
    Route(GET, "/openapi.json", PUBLIC, "openapi", summary="This description."),
    Route(GET, "/docs", PUBLIC, "docs", summary="The description as a page."),
    Route(GET, "/healthz", PUBLIC, "health", summary="Whether this server lives."),
    Route(GET, "/startupz", PUBLIC, "started", summary="Whether the database of accounts was reached once."),
    Route(GET, "/readyz", PUBLIC, "ready", summary="Whether the manager and the database of accounts answer."),
    Route(GET, "/metrics", "admin:metrics", "metrics", summary="Figures of this server in the Prometheus text format."),
)

WEBSOCKET_ROUTES: tuple[Route, ...] = (
    Route(WEBSOCKET, "/api/console_output/ws", "read:console", "console", summary="Console output."),
    Route(WEBSOCKET, "/api/status/ws", "read:monitor", "status", summary="Status of the manager."),
    Route(WEBSOCKET, "/api/info/ws", "read:monitor", "info", summary="What the manager publishes besides the console."),
)

HTTP_ROUTES = (*MANAGER_ROUTES, *SERVER_ROUTES, *AUTH_ROUTES, *OPERATING_ROUTES)
"""All routes but those of websockets."""

ROUTES = (*HTTP_ROUTES, *WEBSOCKET_ROUTES)
