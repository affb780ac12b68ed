"""Errors that become a reply of the contract's form `{"detail": …}` (http-api 1)."""

from __future__ import annotations

from collections.abc import Sequence


class HttpError(Exception):
    """A request that is answered with a status code and a sentence.

    `plain`: the text is the whole body, as for failures of the CSRF check.
    """

    def __init__(
        self, status: int, detail: str, headers: Sequence[tuple[bytes, bytes]] = (), *, plain: bool = False
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = tuple(headers)
        self.plain = plain


def bad_request(detail: str) -> HttpError:
    """400: what was sent cannot be used."""
    return HttpError(400, detail)


def unauthorized(detail: str) -> HttpError:
    """401: credentials are missing, wrong or do not allow the request."""
    return HttpError(401, detail, [(b"www-authenticate", b"Bearer")])


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
    return HttpError(status, detail, [(b"retry-after", b"%d" % retry_after)])
