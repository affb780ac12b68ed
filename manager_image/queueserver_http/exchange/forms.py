"""Bodies of forms: fields, and files that are kept on disk when they are large."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request

from queueserver_http.exchange.errors import bad_request

_MOST_FIELDS = 20
_MOST_FILES = 2
_LONGEST_FIELD = 65_536


async def read_form(request: Request) -> FormData:
    """The form, which the caller closes; raises 400 for a malformed one. It is empty for another kind of body."""
    try:
        return await request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD)
    except (LookupError, ValueError):
        raise bad_request("The form cannot be read: a part of it is malformed or not in its encoding.") from None
