"""Errors that become a reply of the contract's form `{"detail": …}` (http-api 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response


class HttpError(HTTPException):
    """A request that is answered with a status code and a sentence.

    `plain`: the text is the whole body, as for failures of the CSRF check.
    """

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, *, plain: bool = False
    ) -> None:
        super().__init__(status, detail, headers)
        self.plain = plain


def bad_request(detail: str) -> HttpError:
    """400: what was sent cannot be used."""
    return HttpError(400, detail)


def unauthorized(detail: str) -> HttpError:
    """401: credentials are missing, wrong or do not allow the request."""
    return HttpError(401, detail, {"www-authenticate": "Bearer"})


def not_found(detail: str = "Not Found") -> HttpError:
    """404."""
    return HttpError(404, detail)


def unprocessable(detail: str) -> HttpError:
    """422: the body is missing or is not a mapping."""
    return HttpError(422, detail)


def manager_silent() -> HttpError:
    """408: the request was sent and nothing came back; whether it was carried out is not known."""
    return HttpError(408, "Request timeout: ZMQ communication error: timeout occurred")


def manager_away(status: int, retry_after: int) -> HttpError:
    """The request was not sent, because nobody listens; it may be repeated without danger."""
    detail = (
        "Request timeout: ZMQ communication error: timeout occurred: there is no connection to the manager. "
        "The request was not sent; repeat it later."
    )
    return HttpError(status, detail, {"retry-after": str(retry_after)})


def provider_away() -> HttpError:
    """503: whether the credentials are right cannot be known."""
    return HttpError(503, "The authentication provider does not answer. Log in later.", {"retry-after": "5"})


def database_away() -> HttpError:
    """503: who sent the request cannot be looked up, or a change of accounts cannot be stored."""
    return HttpError(503, "The database of accounts does not answer. Repeat the request later.", {"retry-after": "1"})


def error_reply(error: HTTPException) -> Response:
    """The reply of the contract's form, also for what the framework raises."""
    if isinstance(error, HttpError) and error.plain:
        return Response(error.detail, error.status_code, error.headers, "text/plain")
    body = json.dumps({"detail": error.detail})  # a detail may quote any text, unpaired surrogates too
    return Response(body, error.status_code, error.headers, "application/json")


async def answer_error(request: Request, error: Exception) -> Response:
    """The handler of errors that have a status code."""
    assert isinstance(error, HTTPException)
    return error_reply(error)
