"""Passwords of the machine's users, checked by PAM (http-api 5.2)."""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
from typing import Any

from queueserver_http.authenticators.passwords import PasswordAuthenticator

_PROMPT_ECHO_OFF = 1
_SUCCESS = 0


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_CONVERSATION = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)


class _Conversation(ctypes.Structure):
    _fields_ = (("function", _CONVERSATION), ("data", ctypes.c_void_p))


class PAMAuthenticator(PasswordAuthenticator):
    """`service`: the name of the PAM service whose rules are used. Accounts that PAM refuses are refused.

    `config_dir`: a directory of services other than the system's.
    """

    def __init__(self, service: str = "login", config_dir: str | None = None) -> None:
        path = ctypes.util.find_library("pam")
        if path is None:
            raise ValueError("this machine has no PAM library (libpam)")
        self._pam = ctypes.CDLL(path)
        self._libc = ctypes.CDLL(None)
        self._libc.calloc.restype = ctypes.c_void_p
        self._libc.calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
        self._libc.strdup.restype = ctypes.c_void_p
        self._libc.strdup.argtypes = [ctypes.c_char_p]
        self._pam.pam_authenticate.argtypes = self._pam.pam_acct_mgmt.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._pam.pam_end.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._service = service.encode()
        self._config_dir = config_dir.encode() if config_dir else None

    async def authenticate(self, username: str, password: str) -> str | None:
        return username if await asyncio.to_thread(self._check, username.encode(), password.encode()) else None

    def _check(self, username: bytes, password: bytes) -> bool:
        def answer(count: int, messages: Any, responses: Any, data: object) -> int:
            replies = ctypes.cast(self._libc.calloc(count, ctypes.sizeof(_Response)), ctypes.POINTER(_Response))
            for index in range(count):
                if messages[index].contents.style == _PROMPT_ECHO_OFF:
                    replies[index].text = self._libc.strdup(password)  # PAM frees it
            responses[0] = replies
            return _SUCCESS

        handle = ctypes.c_void_p()
        conversation = _Conversation(_CONVERSATION(answer), None)
        begin = (self._service, username, ctypes.byref(conversation))
        if self._config_dir is None:
            code = self._pam.pam_start(*begin, ctypes.byref(handle))
        else:
            code = self._pam.pam_start_confdir(*begin, self._config_dir, ctypes.byref(handle))
        if code != _SUCCESS:
            return False
        try:
            code = self._pam.pam_authenticate(handle, 0)
            if code == _SUCCESS:
                code = self._pam.pam_acct_mgmt(handle, 0)
        finally:
            self._pam.pam_end(handle, code)
        return bool(code == _SUCCESS)
