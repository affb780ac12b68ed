"""The handler of spreadsheet uploads (http-api 2.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, BinaryIO

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from queueserver_http import loggers
from queueserver_http.access.guard import principal_of
from queueserver_http.exchange.errors import unprocessable
from queueserver_http.exchange.forms import read_form
from queueserver_http.exchange.replies import JsonText, json_reply
from queueserver_http.handlers.manager import ManagerHandlers
from queueserver_http.handlers.spreadsheet import SpreadsheetError, plans_from
from queueserver_http.routes.table import Route

_FUNCTION = "spreadsheet_to_plan_list"
_log = logging.getLogger(loggers.SPREADSHEET)


class UploadHandlers:
    """`modules`: custom modules, the first of which that has a processing function is asked first."""

    def __init__(self, manager: ManagerHandlers, modules: Sequence[ModuleType]) -> None:
        self._manager = manager
        found = (getattr(module, _FUNCTION, None) for module in modules)
        self._custom: Callable[..., Any] | None = next((one for one in found if callable(one)), None)

    async def upload_spreadsheet(self, request: Request, route: Route) -> Response:
        """Read the file in a thread and add its plans as one batch."""
        form = await read_form(request)
        file, data_type, lock_key = form.get("spreadsheet"), form.get("data_type"), form.get("lock_key")
        if not isinstance(file, UploadFile):
            raise unprocessable("The form must have a file in the field 'spreadsheet'.")
        if isinstance(data_type, UploadFile) or isinstance(lock_key, UploadFile):
            raise unprocessable("'data_type' and 'lock_key' must be texts.")
        name = file.filename or ""
        try:
            items = await asyncio.to_thread(self._items, file.file, name, data_type, principal_of(request).name)
        except SpreadsheetError as error:
            return json_reply({"success": False, "msg": str(error), "items": [], "results": []})
        finally:
            await form.close()
        return JsonText(await self._manager.add_batch(request, route, items, lock_key))

    def _items(self, file: BinaryIO, name: str, data_type: str | None, user: str) -> list[dict[str, Any]]:
        items = self._custom_items(file, name, data_type, user) if self._custom else None
        if items is None:
            file.seek(0)
            items = plans_from(file, name)
        return [item if "item_type" in item else {"item_type": "plan", **item} for item in items]

    def _custom_items(self, file: BinaryIO, name: str, data_type: str | None, user: str) -> list[dict[str, Any]] | None:
        assert self._custom is not None
        try:
            items = self._custom(spreadsheet_file=file, file_name=name, data_type=data_type, user=user)
        except Exception as error:
            _log.exception("The custom processing function failed")
            raise SpreadsheetError(f"Failed to process the spreadsheet '{name}': {error}") from None
        if items is not None and not (isinstance(items, list) and all(isinstance(item, dict) for item in items)):
            raise SpreadsheetError(f"{_FUNCTION} must return a list of items or None, not {type(items).__name__}")
        return items
