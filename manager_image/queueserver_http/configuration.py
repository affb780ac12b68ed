"""The settings of the server and what a configuration file may hold (http-api 6)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from queueserver_common.link.curve_key import KeyFormatError, check_key

DEFAULT_PORT = 60610
_ADDRESS = re.compile(r"(tcp://[^\s/]+:\d{1,5}|ipc://\S+|inproc://\S+)")


class Section(BaseModel):
    """A mapping of the file; keys that are not known are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ZmqSection(Section):
    """How the manager is reached."""

    control_address: str = "tcp://localhost:60615"
    info_address: str = "tcp://localhost:60625"
    encoding: Literal["json", "msgpack"] = "json"
    public_key: str | None = Field(default=None, repr=False)
    """The manager's public key, 40 characters of Z85; without it the connection is not encrypted."""
    reply_timeout: Annotated[float, Field(gt=0, le=600)] = 4.0
    """Seconds until a request that the manager does not answer is answered with 408."""
    connect_timeout: Annotated[float, Field(ge=0, le=600)] = 2.0
    """Seconds that a request waits for a connection to the manager."""
    away_status: Literal[408, 503] = 503
    """Status code of a request that could not be sent for want of a connection."""

    @field_validator("encoding", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("control_address", "info_address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if _ADDRESS.fullmatch(value) is None:
            raise ValueError("an address looks like 'tcp://localhost:60615' or 'ipc:///tmp/socket'")
        return value

    @field_validator("public_key")
    @classmethod
    def _is_key(cls, value: str | None) -> str | None:
        if value:
            try:
                check_key(value)
            except KeyFormatError as error:
                raise ValueError(str(error)) from None
        return value or None


class ServerSection(Section):
    """Extensions and limits."""

    custom_routers: list[str] = []
    custom_modules: list[str] = []
    legacy_endpoints: bool = False
    """Serve the paths of version 0.0.1 as well, without authentication."""
    access_log: bool = True
    body_limit: Annotated[int, Field(gt=0)] = 32 * 1024 * 1024
    """Bytes of a request's body."""
    response_bytesize_limit: Annotated[int, Field(gt=0)] = 300_000_000
    """Bytes of a reply's body."""
    request_limit: Annotated[int, Field(gt=0)] = 2000
    """Requests at the same time."""
    websocket_limit: Annotated[int, Field(gt=0)] = 2000
    """Websockets at the same time."""


class Provider(Section):
    """A way to authenticate: `authenticator` is `module:Class`."""

    provider: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    authenticator: str
    args: dict[str, Any] = Field(default_factory=dict, repr=False)


class KubernetesSection(Section):
    """Bearer tokens of Kubernetes, checked by TokenReview."""

    enabled: bool = False
    audiences: list[str] = []
    groups: dict[str, list[str]] = {}
    """Roles by the names of groups."""
    users: dict[str, list[str]] = {}
    """Roles by user names, such as `system:serviceaccount:NAMESPACE:NAME`."""
    api_server: str | None = None
    """Address of the API server; that of the cluster when it is left out."""
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
    ca_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"


class AuthenticationSection(Section):
    """Who may use the server."""

    providers: list[Provider] = []
    secret_keys: list[str] = Field(default=[], repr=False)
    allow_anonymous_access: bool = False
    single_user_api_key: str | None = Field(default=None, repr=False)
    access_token_max_age: Annotated[int, Field(gt=0)] = 900
    refresh_token_max_age: Annotated[int, Field(gt=0)] = 604_800
    session_max_age: Annotated[int, Field(gt=0)] = 365 * 86_400
    """Seconds, these three."""
    kubernetes: KubernetesSection = KubernetesSection()

    @field_validator("single_user_api_key")
    @classmethod
    def _alphanumeric(cls, value: str | None) -> str | None:
        if value is not None and not (value.isascii() and value.isalnum()):
            raise ValueError("the single-user API key must consist of letters and digits only")
        return value


class DatabaseSection(Section):
    """Where accounts, keys and sessions are kept; used with providers only."""

    uri: str = Field(default="sqlite:///./bluesky_httpserver.sqlite", repr=False)
    pool_size: Annotated[int, Field(gt=0)] = 5
    pool_pre_ping: bool = True


class UvicornSection(Section):
    """How the server listens."""

    host: str = "localhost"
    port: Annotated[int, Field(ge=0, le=65535)] = DEFAULT_PORT
    workers: Literal[1] = 1
    """One process serves all clients; sessions of streams are not shared between several."""
    root_path: str = ""
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    forwarded_allow_ips: str | None = None
    """Addresses of proxies whose `X-Forwarded-…` headers are believed."""
    log_level: Literal["critical", "error", "warning", "info", "debug", "trace"] = "info"
    log_config: str | None = None


class PolicySection(Section):
    """A policy: `policy` is `module:Class`."""

    policy: str
    args: dict[str, Any] = Field(default_factory=dict, repr=False)


class MetricsSection(Section):
    """Figures of the server at `/metrics`, for those with the scope admin:metrics."""

    prometheus: bool = True


class Configuration(Section):
    """All settings. Sections have the names that they have in a file."""

    qserver_zmq_configuration: ZmqSection = ZmqSection()
    server_configuration: ServerSection = ServerSection()
    authentication: AuthenticationSection = AuthenticationSection()
    database: DatabaseSection = DatabaseSection()
    allow_origins: list[str] = []
    uvicorn: UvicornSection = UvicornSection()
    api_access: PolicySection = PolicySection(policy="bluesky_httpserver.authorization:BasicAPIAccessControl")
    resource_access: PolicySection = PolicySection(
        policy="bluesky_httpserver.authorization:DefaultResourceAccessControl"
    )
    metrics: MetricsSection = MetricsSection()

    @property
    def accounts(self) -> bool:
        """Whether there are several users, and with them a database."""
        return bool(self.authentication.providers)
