"""The settings of the server and what a configuration file may hold (http-api 6)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from queueserver_common.link.curve_key import KeyFormatError, check_key

DEFAULT_PORT = 60610
_ADDRESS = re.compile(r"(tcp://[^\s/]+:\d{1,5}|ipc://\S+|inproc://\S+)")


class Section(BaseModel):
    """A mapping of the file; keys that are not known are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ZmqSection(Section):
    """How the manager is reached."""

    control_address: str = "tcp://localhost:60615"
    """The manager's control socket."""
    info_address: str = "tcp://localhost:60625"
    """The manager's info socket: console and status."""
    encoding: Literal["json", "msgpack"] = "json"
    """Encoding of both sockets, the manager's."""
    public_key: str | None = Field(default=None, repr=False)
    """The manager's public key, 40 characters of Z85; without it the connection is not encrypted."""
    info_encrypted: bool = False
    """The info socket is encrypted as well, with the same key: port 60626 of a QueueServer in Kubernetes is."""
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

    @model_validator(mode="after")
    def _has_key(self) -> Self:
        if self.info_encrypted and not self.public_key:
            raise ValueError("'info_encrypted' needs the 'public_key' of the manager")
        return self

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
    """Modules with a FastAPI router named `router`, whose paths are served below `/api`."""
    custom_modules: list[str] = []
    """Modules with a function `spreadsheet_to_plan_list`."""
    legacy_endpoints: bool = False
    """Serve the paths of version 0.0.1 as well, without authentication."""
    access_log: bool = True
    """A line of JSON on standard output for each request."""
    body_limit: Annotated[int, Field(gt=0)] = 32 * 1024 * 1024
    """Bytes of a request's body."""
    response_bytesize_limit: Annotated[int, Field(gt=0)] = 300_000_000
    """Bytes of a reply's body."""
    head_timeout: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds that a client has for the head of a request, from the connection or from its first byte."""
    body_timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds that a client has for the body of a request."""
    connection_limit: Annotated[int, Field(gt=0)] = 5000
    """Connections at the same time, without those that became websockets."""
    request_limit: Annotated[int, Field(gt=0)] = 2000
    """Requests at the same time."""
    websocket_limit: Annotated[int, Field(gt=0)] = 2000
    """Websockets at the same time."""
    websocket_check_period: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Seconds after which an open websocket's credentials are checked again; one whose key was deleted is closed."""


class Provider(Section):
    """A way to authenticate: `authenticator` is `module:Class`."""

    provider: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    authenticator: str
    args: dict[str, Any] = Field(default_factory=dict, repr=False)


class KubernetesSection(Section):
    """Bearer tokens of Kubernetes, checked by TokenReview."""

    enabled: bool = False
    """Review bearer tokens that this server did not make."""
    audiences: list[str] = []
    """Audiences one of which a token must be made for; those of the API server when empty."""
    groups: dict[str, list[str]] = {}
    """Roles by the names of groups."""
    users: dict[str, list[str]] = {}
    """Roles by user names, such as `system:serviceaccount:NAMESPACE:NAME`."""
    api_server: str | None = None
    """Address of the API server; that of the cluster when it is left out."""
    ca_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    """Certificates that the API server is checked with."""
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
    """The server's own token, which must be allowed to make TokenReviews."""


class AuthenticationSection(Section):
    """Who may use the server."""

    providers: list[Provider] = []
    """Ways to log in; with any of them there are accounts and a database, and the single-user key counts no more."""
    secret_keys: list[str] = Field(default=[], repr=False)
    """Keys that sign tokens, of 16 characters or more. The first one signs, all of them are accepted."""
    allow_anonymous_access: bool = False
    """Requests without credentials have the role `unauthenticated_public`, which may read the status."""
    single_user_api_key: str | None = Field(default=None, repr=False)
    """Letters and digits. Without it and without providers a key is made at each start and written to the log."""
    access_token_max_age: Annotated[int, Field(gt=0)] = 900
    """Seconds."""
    refresh_token_max_age: Annotated[int, Field(gt=0)] = 604_800
    """Seconds."""
    session_max_age: Annotated[int, Field(gt=0)] = 365 * 86_400
    """Seconds after which one has to log in again, however often the session was refreshed."""

    @field_validator("single_user_api_key")
    @classmethod
    def _alphanumeric(cls, value: str | None) -> str | None:
        if value is not None and not (value.isascii() and value.isalnum()):
            raise ValueError("the single-user API key must consist of letters and digits only")
        return value


class DatabaseSection(Section):
    """Where accounts, keys and sessions are kept; used with providers only."""

    uri: str = Field(default="sqlite:///./bluesky_httpserver.sqlite", repr=False)
    """SQLite or PostgreSQL: `postgresql://user:password@host/name`."""
    pool_size: Annotated[int, Field(gt=0)] = 5
    """Connections."""
    pool_pre_ping: bool = True
    """Test a connection before it is used again."""


class UvicornSection(Section):
    """How the server listens."""

    host: str = "localhost"
    """Address to listen at; `0.0.0.0` for all of IPv4."""
    port: Annotated[int, Field(ge=0, le=65535)] = DEFAULT_PORT
    """Port to listen at."""
    workers: Literal[1] = 1
    """One process serves all clients; sessions of streams are not shared between several."""
    root_path: str = ""
    """Prefix that a proxy adds to the paths."""
    ssl_certfile: str | None = None
    """Certificate of this server; with it the server speaks TLS."""
    ssl_keyfile: str | None = None
    """Private key of the certificate."""
    forwarded_allow_ips: str | None = None
    """Addresses of proxies whose `X-Forwarded-…` headers are believed."""
    log_level: Literal["critical", "error", "warning", "info", "debug", "trace"] = "info"
    """Least severe messages that are logged."""
    log_config: str | None = None
    """File of Python's `logging.config.fileConfig`, in place of the built-in logging."""


class PolicySection(Section):
    """A policy: `policy` is `module:Class`."""

    policy: str
    """`module:Class`; names of bluesky-httpserver stand for the classes of this server."""
    args: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Arguments of the class."""


class MetricsSection(Section):
    """Figures of the server at `/metrics`, for those with the scope admin:metrics."""

    prometheus: bool = True
    """Serve `/metrics`."""


class Configuration(Section):
    """All settings. Sections have the names that they have in a file."""

    qserver_zmq_configuration: ZmqSection = ZmqSection()
    server_configuration: ServerSection = ServerSection()
    authentication: AuthenticationSection = AuthenticationSection()
    database: DatabaseSection = DatabaseSection()
    kubernetes: KubernetesSection = KubernetesSection()
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
