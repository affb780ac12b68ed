"""Bodies of forms: fields, and files that are kept on disk when they are large."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from queueserver_http.errors import bad_request, unprocessable
from queueserver_http.http import Request

_MOST_FIELDS = 20
_MOST_FILES = 2
_LONGEST_FIELD = 65_536


async def read_form(request: Request) -> dict[str, str | UploadFile]:
    """Fields by name, the last of duplicates; raises 400 for a malformed form and 422 for another kind of body."""
    media = request.headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    headers = Headers(raw=request.scope["headers"])
    try:
        if media == b"multipart/form-data":
            form = await MultiPartParser(
                headers,
                request.stream(),
                max_files=_MOST_FILES,
                max_fields=_MOST_FIELDS,
                max_part_size=_LONGEST_FIELD,
            ).parse()
        elif media == b"application/x-www-form-urlencoded":
            form = await FormParser(headers, _bounded(request)).parse()
        else:
            raise unprocessable("The body must be a form (multipart/form-data or application/x-www-form-urlencoded).")
    except MultiPartException as error:
        raise bad_request(f"The form cannot be read: {error.message}") from None
    except (KeyError, UnicodeDecodeError, LookupError, ValueError):
        raise bad_request("The form cannot be read: a part of it is malformed or not in its encoding.") from None
    return _fields(form)


def _fields(form: FormData) -> dict[str, str | UploadFile]:
    return dict(form.multi_items())


async def _bounded(request: Request) -> AsyncGenerator[bytes, None]:
    """A form without files has no reason to be long."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _LONGEST_FIELD:
            raise bad_request(f"The form is longer than {_LONGEST_FIELD} bytes.")
        yield part
