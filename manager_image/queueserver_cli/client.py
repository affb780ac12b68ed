"""Blocking 0MQ client of the manager's control socket (zmq-api 1.1 to 1.3)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import zmq

DEFAULT_CONTROL_ADDRESS = "tcp://localhost:60615"
DEFAULT_INFO_ADDRESS = "tcp://localhost:60625"
ENCODINGS = ("json", "msgpack")

RECEIVE_TIMEOUT_S = 2.0
SEND_TIMEOUT_S = 0.5
LINGER_S = 0.1

_ON, _OFF = ("on", "1", "true"), ("off", "0", "false")
_Z85_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


class SettingsError(ValueError):
    """An address, encoding or key that cannot be used; the text says what would be right."""


class CommunicationError(RuntimeError):
    """The manager did not answer, or its answer could not be understood."""


class NoReply(CommunicationError):
    """Nothing arrived in time."""


def control_address(option: str | None = None) -> str:
    """Address of the control socket: the option, else `QSERVER_ZMQ_CONTROL_ADDRESS`, else the default."""
    return option or os.environ.get("QSERVER_ZMQ_CONTROL_ADDRESS") or DEFAULT_CONTROL_ADDRESS


def info_address(option: str | None = None) -> str:
    """Address of the info socket: the option, else `QSERVER_ZMQ_INFO_ADDRESS`, else the default."""
    return option or os.environ.get("QSERVER_ZMQ_INFO_ADDRESS") or DEFAULT_INFO_ADDRESS


def encoding_name(option: str | None = None) -> str:
    """Encoding of both sockets: the option, else `QSERVER_ZMQ_ENCODING`, else json; case does not matter."""
    name = option or os.environ.get("QSERVER_ZMQ_ENCODING") or "json"
    if name.lower() not in ENCODINGS:
        raise SettingsError(f"Unsupported ZMQ encoding: {name!r}. Supported encodings: {ENCODINGS}")
    return name.lower()


def server_public_key() -> str | None:
    """The manager's public key from `QSERVER_ZMQ_PUBLIC_KEY`, checked; None when encryption is off."""
    key = os.environ.get("QSERVER_ZMQ_PUBLIC_KEY")
    if not key:
        return None
    if _Z85_KEY.fullmatch(key) is None:
        raise SettingsError(_bad_key(key))
    return key


def info_key(*, encrypted: bool = False) -> str | None:
    """The manager's public key when the info socket is encrypted: by the option, else `QSERVER_ZMQ_INFO_ENCRYPTED`."""
    named = os.environ.get("QSERVER_ZMQ_INFO_ENCRYPTED", "")
    if named.lower() not in ("", *_ON, *_OFF):
        raise SettingsError(f"QSERVER_ZMQ_INFO_ENCRYPTED must be ON or OFF, not {named!r}")
    if not (encrypted or named.lower() in _ON):
        return None
    key = server_public_key()
    if key is None:
        raise SettingsError("An encrypted info socket needs the manager's public key in QSERVER_ZMQ_PUBLIC_KEY")
    return key


def encrypt(socket: zmq.Socket[bytes], public_key: str, client_keys: tuple[bytes, bytes]) -> None:
    """Make a socket speak to the owner of `public_key` only; raises `SettingsError` for what is no key."""
    try:
        socket.curve_publickey, socket.curve_secretkey = client_keys
        socket.curve_serverkey = public_key.encode()
    except zmq.ZMQError:
        raise SettingsError(_bad_key(public_key)) from None


def check_key(key: str) -> str:
    """The key when it is Z85 text of 32 bytes; else raises `SettingsError`."""
    if _Z85_KEY.fullmatch(key) is None:
        raise SettingsError(f"Invalid key {key!r}: the key must be a 40 byte z85 encoded string")
    return key


def encode(message: Any, encoding: str) -> bytes:
    """One frame in the given encoding; raises `SettingsError` for a value that the encoding cannot express."""
    try:
        if encoding == "msgpack":
            import msgpack

            packed: bytes = msgpack.packb(message)
            return packed
        return json.dumps(message).encode()
    except (TypeError, ValueError, OverflowError) as error:
        raise SettingsError(f"The request cannot be written as {encoding}: {error}") from None


def decode(frame: bytes, encoding: str) -> Any:
    """The value in one frame; raises `CommunicationError` when it is not in the given encoding."""
    try:
        if encoding == "msgpack":
            import msgpack

            return msgpack.unpackb(frame)
        return json.loads(frame)
    except Exception as error:
        raise CommunicationError(
            f"ZMQ communication error: the received message is not valid {encoding}: {error}"
        ) from None


class ManagerClient:
    """Sends requests one at a time and waits for each reply.

    After a time-out the socket is closed and opened again, so that the next request works. With a server key the
    connection is encrypted with a client key pair made for this object.
    """

    def __init__(
        self,
        address: str,
        *,
        encoding: str = "json",
        public_key: str | None = None,
        receive_timeout_s: float = RECEIVE_TIMEOUT_S,
    ) -> None:
        self.address = address
        self._encoding = encoding
        self._public_key = public_key
        self._receive_timeout_ms = round(receive_timeout_s * 1000)
        self._client_keys = zmq.curve_keypair() if public_key else None
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        try:
            self._socket = self._connect()
        except BaseException:
            self.close()
            raise

    def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The manager's reply to one request; raises `CommunicationError` when there is none."""
        frame = encode({"method": method, "params": dict(params or {})}, self._encoding)
        if self._socket is None:
            self._socket = self._connect()
        try:
            self._socket.send(frame)
            if not self._socket.poll(self._receive_timeout_ms):
                raise zmq.Again
            answer = self._socket.recv()
        except zmq.Again:
            self._drop_socket()
            raise NoReply("ZMQ communication error: timeout occurred") from None
        except zmq.ZMQError as error:
            self._drop_socket()
            raise CommunicationError(f"ZMQ communication error: {error}") from None
        except BaseException:
            self._drop_socket()  # an interrupted exchange leaves a REQ socket unusable
            raise
        reply = decode(answer, self._encoding)
        if not isinstance(reply, dict):
            raise CommunicationError(f"ZMQ communication error: the reply is not a mapping: {reply!r:.200}")
        return reply

    def close(self) -> None:
        """Close the connection; the last request is still given 0.1 s to leave."""
        self._drop_socket()
        self._context.term()

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, round(LINGER_S * 1000))
        socket.setsockopt(zmq.SNDTIMEO, round(SEND_TIMEOUT_S * 1000))
        try:
            if self._public_key and self._client_keys:
                encrypt(socket, self._public_key, self._client_keys)
            socket.connect(self.address)
        except SettingsError:
            socket.close()
            raise
        except zmq.ZMQError as error:
            socket.close()
            raise CommunicationError(
                f"ZMQ communication error: cannot connect to {self.address!r}: {error} "
                f"(an address looks like {DEFAULT_CONTROL_ADDRESS!r})"
            ) from None
        return socket

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> ManagerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bad_key(key: str) -> str:
    return f"ZMQ public key is improperly formatted: Invalid key {key!r}: the key must be a 40 byte z85 encoded string"
