"""docs/reference/http-routes.md and http-configuration.md: the HTTP server's routes and settings."""

from __future__ import annotations

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from queueserver_http.access.scopes import DEFAULT_ROLES, SCOPES
from queueserver_http.configuration import settings
from queueserver_http.configuration.settings import Configuration
from queueserver_http.configuration.sources import ENVIRONMENT
from queueserver_http.routes.table import AUTHENTICATED, PUBLIC, ROUTES, Route
from reference_pages import markdown
from reference_pages.markdown import code, codes, documented, table

_ROUTES = """\
A refusal by the manager is a reply with status 200 and `success: false`; other failures are `{"detail": "…"}` with a
status of 400 or more. Parameters are keys of a JSON body. GET and DELETE also take them from the query: texts as they
are, everything else as JSON. `user` and `user_group` are set by the server.

Credentials are the header `Authorization: Apikey SECRET` or `Authorization: Bearer TOKEN`, or `?api_key=SECRET`, which
makes the server set cookies. A browser opens a websocket with a ticket (`?ticket=…`), or with `?auth=message` and its
credentials as the first message: `{"api_key": …}`, `{"access_token": …}` or `{"ticket": …}`. It is closed
with 4001 within a minute when its credentials have expired or been taken back; open another one with new ones."""

_CONFIGURATION = """\
The configuration is a YAML file, or all `*.yml` and `*.yaml` files of a directory, with each section in one file only.
It is named by `--config_path` or `QSERVER_HTTP_SERVER_CONFIG`. `${NAME}` in texts is replaced by environment variables.
Files beat the environment; `--host`, `--port` and `--public` (anonymous access) beat both.

The exit code is 0 after an orderly end, 2 when the configuration cannot be used, and 3 when the address is taken."""


def pages() -> dict[str, str]:
    """The pages by their file names."""
    return {"http-routes.md": _routes(), "http-configuration.md": _configuration()}


def _routes() -> str:
    scopes = sorted(SCOPES)
    roles = [(code(role), codes(sorted(having))) for role, having in DEFAULT_ROLES.items()]
    return markdown.page(
        "HTTP routes",
        "the table in `queueserver_http.routes.table`",
        _ROUTES,
        table(["route", "scope", "method of the manager", "parameters"], map(_route, ROUTES)),
        "## Scopes and roles",
        f"The scopes are {codes(scopes)}. These are the roles unless the access policy changes them:",
        table(["role", "scopes"], roles),
    )


def _route(route: Route) -> tuple[str, ...]:
    scope = {PUBLIC: "none", AUTHENTICATED: "any credentials"}.get(route.scope, code(route.scope))
    fields = ", ".join(f"{code(one.name)}{' (required)' if one.required else ''}" for one in route.fields)
    return (code(f"{route.verb} {route.path}"), scope, code(route.method) or markdown.text(route.summary), fields)


def _configuration() -> str:
    texts = documented(settings)
    blocks = [_CONFIGURATION]
    for name, field in Configuration.model_fields.items():
        section = field.annotation
        blocks.append(f"## {name}")
        if isinstance(section, type) and issubclass(section, BaseModel):
            blocks += [texts[section.__name__], _table(name, section, texts, "")]
        else:
            blocks.append(f"A list of origins whose pages may use the server. Environment: {_variables('', name)}.")
    return markdown.page("Configuration of the HTTP server", "`queueserver_http.configuration.settings`", *blocks)


def _table(section: str, model: type[BaseModel], texts: dict[str, str], prefix: str) -> str:
    return table(["key", "environment variable", "default", "meaning"], _rows(section, model, texts, prefix))


def _rows(section: str, model: type[BaseModel], texts: dict[str, str], prefix: str) -> list[tuple[str, ...]]:
    rows = []
    for key, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            rows += _rows(section, inner, texts, f"{prefix}{key}/")
            continue
        text = texts.get(f"{model.__name__}.{key}", "")
        rows.append((code(f"{prefix}{key}"), _variables(section, key), _default(field), markdown.text(text)))
    return rows


def _variables(section: str, key: str) -> str:
    return next((codes(names) for where, what, names, _ in ENVIRONMENT if (where, what) == (section, key)), "")


def _default(field: FieldInfo) -> str:
    if field.default is None or field.is_required() or field.default_factory is not None:
        return ""
    return code(field.default if isinstance(field.default, str) else repr(field.default))
