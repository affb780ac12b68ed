"""Requests to the Kubernetes API server with the pod's own projected token.

A few verbs on a few kinds; no client package, whose dependencies would come along. Token and CA certificates are read
anew when the kubelet replaces them.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from queueserver_manager.settings.errors import SettingsError

_CONNECT_TIMEOUT = 5.0
_REQUEST_TIMEOUT = 15.0
"""Seconds until an answer has to begin and between two parts of it."""

_WATCH_SILENCE = 75.0
"""Seconds without a line after which a watch is begun again; the API server sends a bookmark every minute."""

_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, option), value)
        for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))
        if hasattr(socket, option)
    ),
]
"""A connection whose other end has vanished (node gone, network cut) is noticed after 14 s."""

_MERGE_KINDS = {"PATCH": "application/apply-patch+yaml"}


class ApiUnreachableError(Exception):
    """The API server gave no answer; the text is a sentence."""


class ApiRefusedError(Exception):
    """The API server refused a request; the text is its own."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status."""
        self.reason = reason
        """CamelCase reason, for example `AlreadyExists`."""

    @property
    def passes(self) -> bool:
        """The same request may succeed later."""
        return self.status == httpx.codes.TOO_MANY_REQUESTS or self.status >= httpx.codes.INTERNAL_SERVER_ERROR


class ApiServer:
    """The API server of the cluster that this process runs in."""

    def __init__(self, host: str, port: str, token_dir: Path) -> None:
        """`token_dir` holds the files `token` and `ca.crt`."""
        self._url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self._token_file = token_dir / "token"
        self._ca_file = token_dir / "ca.crt"
        self._client: httpx.AsyncClient | None = None
        self._retired: list[httpx.AsyncClient] = []
        """Clients that trust replaced certificates; a watch may still be using one."""
        self._ca_state: tuple[int, ...] = ()

    @classmethod
    def of_this_cluster(cls, environ: Mapping[str, str], token_dir: Path) -> ApiServer:
        """Where the kubelet says that it is; raises `SettingsError` outside of a pod."""
        try:
            return cls(environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"], token_dir)
        except KeyError as missing:
            raise SettingsError(
                f"The setting 'kubernetes/queue_server' makes workers pods, but the environment variable "
                f"{missing.args[0]} does not say where the Kubernetes API server is; run the manager in a pod."
            ) from None

    async def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: object = None
    ) -> dict[str, Any]:
        """One request; the decoded answer. Raises `ApiUnreachableError` and `ApiRefusedError`. A PATCH is an apply."""
        headers = self._headers()
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = _MERGE_KINDS.get(method, "application/json")
        try:
            response = await self._http().request(method, path, params=params, content=content, headers=headers)
        except (httpx.TransportError, OSError) as error:
            raise self._unreachable(error) from None
        if response.is_error:
            raise _refusal(response)
        answer: dict[str, Any] = response.json()
        return answer

    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """The events of a watch until it ends, as it does every few minutes. Raises as `request` does."""
        timeout = httpx.Timeout(_REQUEST_TIMEOUT, connect=_CONNECT_TIMEOUT, read=_WATCH_SILENCE)
        try:
            async with self._http().stream(
                "GET", path, params={**params, "watch": "true"}, headers=self._headers(), timeout=timeout
            ) as response:
                if response.is_error:
                    await response.aread()
                    raise _refusal(response)
                async for line in response.aiter_lines():
                    yield json.loads(line)
        except httpx.ReadTimeout:
            return
        except (httpx.TransportError, OSError, ValueError) as error:
            raise self._unreachable(error) from None

    async def close(self) -> None:
        """Close all connections."""
        for client in (*self._retired, *([self._client] if self._client else [])):
            await client.aclose()

    def _headers(self) -> dict[str, str]:
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ApiUnreachableError(f"The token '{self._token_file}' cannot be read: {error}.") from None
        return {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def _http(self) -> httpx.AsyncClient:
        try:
            status = self._ca_file.stat()
            state = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._client is None or state != self._ca_state:
                verify = ssl.create_default_context(cafile=str(self._ca_file))
                if self._client is not None:
                    self._retired.append(self._client)
                self._client = httpx.AsyncClient(
                    base_url=self._url,
                    transport=httpx.AsyncHTTPTransport(verify=verify, trust_env=False, socket_options=_KEEP_ALIVE),
                    timeout=httpx.Timeout(_REQUEST_TIMEOUT, connect=_CONNECT_TIMEOUT),
                    trust_env=False,
                )
                self._ca_state = state
        except (OSError, ssl.SSLError) as error:
            raise ApiUnreachableError(f"The certificates '{self._ca_file}' cannot be used: {error}.") from None
        return self._client

    def _unreachable(self, error: Exception) -> ApiUnreachableError:
        return ApiUnreachableError(
            f"The Kubernetes API server at {self._url} cannot be reached: {str(error) or type(error).__name__}"
        )


def _refusal(response: httpx.Response) -> ApiRefusedError:
    """What the API server says in its `Status` object, or the answer's text when something in between answered."""
    try:
        status = response.json()
        return ApiRefusedError(response.status_code, str(status.get("reason", "")), str(status.get("message", "")))
    except (ValueError, AttributeError):
        return ApiRefusedError(response.status_code, "", response.text[:500] or response.reason_phrase)
