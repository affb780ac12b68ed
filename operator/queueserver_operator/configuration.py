"""What the operator is told by environment variables; the chart sets them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from queueserver_common import __version__
from queueserver_common.cluster import HEALTH_PORT
from queueserver_operator.model import Options

PREFIX = "QUEUESERVER_OPERATOR_"

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("", "0", "false", "no", "off")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class ConfigurationError(ValueError):
    """A variable makes no sense; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that is decided at the operator's start."""

    options: Options
    namespaces: tuple[str, ...] = ()
    """Namespaces that are served; empty: all."""
    log_level: str = "INFO"
    health_port: int = HEALTH_PORT
    """TCP port of /healthz, /readyz and /metrics; 0: any free one."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Namespaces as they are asked for in lists; one empty string for all."""
        return self.namespaces or ("",)

    @property
    def lock_scopes(self) -> tuple[str, ...]:
        """The same for the locks of instruments."""
        return (self.options.lock_namespace,) if self.options.lock_namespace else self.scopes

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Configuration:
        """Read the variables; raises ConfigurationError when one is missing or makes no sense."""

        def value(name: str) -> str:
            return environment.get(PREFIX + name, "").strip()

        return cls(
            options=Options(
                identity=value("IDENTITY") or "queueserver-operator",
                version=__version__,
                manager_image=_required(value("MANAGER_IMAGE"), "MANAGER_IMAGE", "the image of manager pods"),
                worker_image=_required(value("WORKER_IMAGE"), "WORKER_IMAGE", "the image of worker pods"),
                lock_namespace="".join(_namespaces(value("LOCK_NAMESPACE"), "LOCK_NAMESPACE", most=1)),
                image_pull_secrets=_list(value("IMAGE_PULL_SECRETS")),
                allow_host_network=_switch(value("ALLOW_HOST_NETWORK"), "ALLOW_HOST_NETWORK"),
            ),
            namespaces=_namespaces(value("NAMESPACES"), "NAMESPACES"),
            log_level=_level(value("LOG_LEVEL")),
            health_port=_port(value("HEALTH_PORT")),
        )


def _required(value: str, name: str, meaning: str) -> str:
    if not value:
        raise ConfigurationError(f"{PREFIX}{name} is not set; it names {meaning}.")
    return value


def _list(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _namespaces(value: str, name: str, most: int | None = None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(_list(value)))
    for one in names:
        if not _NAME.fullmatch(one):
            raise ConfigurationError(f"{PREFIX}{name} contains {one!r}, which cannot be the name of a namespace.")
    if most is not None and len(names) > most:
        raise ConfigurationError(f"{PREFIX}{name} is {value!r}; it must be the name of one namespace.")
    return names


def _switch(value: str, name: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ConfigurationError(f"{PREFIX}{name} is {value!r}; it must be true or false.")


def _level(value: str) -> str:
    level = value.upper() or "INFO"
    if level not in _LEVELS:
        raise ConfigurationError(f"{PREFIX}LOG_LEVEL is {value!r}; it must be one of {', '.join(_LEVELS)}.")
    return level


def _port(value: str) -> int:
    if not value:
        return HEALTH_PORT
    if not value.isdecimal() or int(value) > 65535:
        raise ConfigurationError(f"{PREFIX}HEALTH_PORT is {value!r}; it must be a TCP port number.")
    return int(value)
