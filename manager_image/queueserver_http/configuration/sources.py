"""Reading the configuration: files, environment variables, command line (http-api 6).

Files beat the environment. `--host`, `--port` and `--public` beat both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from queueserver_http.configuration.settings import Configuration

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class ConfigurationError(ValueError):
    """A configuration that cannot be used; the text says what would be right."""


def load(
    config_path: str | None = None, environ: Mapping[str, str] = os.environ, *, public: bool = False
) -> Configuration:
    """The configuration of a server; raises `ConfigurationError`. `public`: anonymous access, whatever else says."""
    values = from_environment(environ)
    path = config_path or environ.get("QSERVER_HTTP_SERVER_CONFIG")
    if path:
        _merge(values, from_files(Path(path), environ))
    if public:
        values.setdefault("authentication", {})["allow_anonymous_access"] = True
    try:
        return Configuration.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(_sentences(error)) from None


def _sentences(error: ValidationError) -> str:
    """What is wrong, without the values: they may be secrets."""
    texts = []
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        place = "/".join(str(part) for part in one["loc"])
        texts.append(f"{place}: {one['msg'].removeprefix('Value error, ')}")
    return "The configuration cannot be used: " + "; ".join(texts)


def _merge(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, section in more.items():
        if isinstance(section, Mapping) and isinstance(values.get(name), dict):
            values[name].update(section)
        elif section is not None:
            values[name] = section


# Files ---------------------------------------------------------------------------------------------------------


def from_files(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Sections of a file, or of all `*.yml` and `*.yaml` of a directory; each section in one file only."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".yml", ".yaml") and file.is_file())
        if not files:
            raise ConfigurationError(f"The directory '{path}' has no configuration files (*.yml or *.yaml).")
    else:
        files = [path]
    values: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for file in files:
        for name, section in _read(file, environ).items():
            if name in values:
                raise ConfigurationError(
                    f"The section '{name}' is in '{origin[name]}' and in '{file}'; it may be in one file only."
                )
            values[name], origin[name] = section, file
    return values


def _read(file: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The configuration file '{file}' cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"The configuration file '{file}' is not YAML{place}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"The configuration file '{file}' must hold a mapping of sections.")
    expanded: dict[str, Any] = _expanded(content, environ)
    return expanded


def _expanded(value: Any, environ: Mapping[str, str]) -> Any:
    """The value with `${NAME}` and `$NAME` in texts replaced; names that are not set stay as they are."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: environ.get(match[1] or match[2], match[0]), value)
    if isinstance(value, dict):
        return {key: _expanded(one, environ) for key, one in value.items()}
    if isinstance(value, list):
        return [_expanded(one, environ) for one in value]
    return value


# Environment ---------------------------------------------------------------------------------------------------


def _words(text: str) -> list[str]:
    return text.split()


def _modules(text: str) -> list[str]:
    return [name for part in re.split(r"[:,]", text) if (name := part.strip())]


def _keys(text: str) -> list[str]:
    return [key for key in text.split(";") if key]


def _flag(text: str) -> object:
    return {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}.get(
        text.strip().lower(), text
    )


ENVIRONMENT: tuple[tuple[str, str, tuple[str, ...], Callable[[str], object]], ...] = (
    (
        "qserver_zmq_configuration",
        "control_address",
        ("QSERVER_ZMQ_CONTROL_ADDRESS", "QSERVER_ZMQ_ADDRESS_CONTROL", "QSERVER_ZMQ_ADDRESS"),
        str,
    ),
    (
        "qserver_zmq_configuration",
        "info_address",
        ("QSERVER_ZMQ_INFO_ADDRESS", "QSERVER_ZMQ_ADDRESS_CONSOLE"),
        str,
    ),
    ("qserver_zmq_configuration", "encoding", ("QSERVER_ZMQ_ENCODING",), str),
    ("qserver_zmq_configuration", "public_key", ("QSERVER_ZMQ_PUBLIC_KEY",), str),
    ("qserver_zmq_configuration", "info_encrypted", ("QSERVER_ZMQ_INFO_ENCRYPTED",), _flag),
    ("server_configuration", "custom_routers", ("QSERVER_HTTP_CUSTOM_ROUTERS",), _modules),
    ("server_configuration", "custom_modules", ("QSERVER_CUSTOM_MODULES", "QSERVER_CUSTOM_MODULE"), _modules),
    ("server_configuration", "response_bytesize_limit", ("QSERVER_HTTP_SERVER_RESPONSE_BYTESIZE_LIMIT",), str),
    ("authentication", "allow_anonymous_access", ("QSERVER_HTTP_SERVER_ALLOW_ANONYMOUS_ACCESS",), _flag),
    ("authentication", "single_user_api_key", ("QSERVER_HTTP_SERVER_SINGLE_USER_API_KEY",), str),
    ("authentication", "secret_keys", ("QSERVER_HTTP_SERVER_SERVER_SECRET_KEYS",), _keys),
    ("authentication", "access_token_max_age", ("QSERVER_HTTP_SERVER_ACCESS_TOKEN_MAX_AGE",), str),
    ("authentication", "refresh_token_max_age", ("QSERVER_HTTP_SERVER_REFRESH_TOKEN_MAX_AGE",), str),
    ("authentication", "session_max_age", ("QSERVER_HTTP_SERVER_SESSION_MAX_AGE",), str),
    ("database", "uri", ("QSERVER_HTTP_SERVER_DATABASE_URI",), str),
    ("database", "pool_size", ("QSERVER_HTTP_SERVER_DATABASE_POOL_SIZE",), str),
    ("database", "pool_pre_ping", ("QSERVER_HTTP_SERVER_DATABASE_POOL_PRE_PING",), _flag),
    ("", "allow_origins", ("QSERVER_HTTP_SERVER_ALLOW_ORIGINS",), _words),
)
"""Section, key, variables (deprecated ones last) and how their text is read."""


_FILE = "_FILE"
"""End of the name of a variable that names a file with the text: secrets in containers are files."""


def _text(environ: Mapping[str, str], name: str) -> str:
    """The text of a variable, or that of the file which the variable of the same name with `_FILE` names."""
    if text := environ.get(name):
        return text
    file = environ.get(name + _FILE)
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The file '{file}', which {name}{_FILE} names, cannot be read: {error}.") from None


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Settings that environment variables give, by section; an empty variable counts as not set."""
    values: dict[str, Any] = {}
    for section, key, names, read in ENVIRONMENT:
        text = next((found for name in names if (found := _text(environ, name))), None)
        if text is not None:
            (values.setdefault(section, {}) if section else values)[key] = read(text)
    return values
