"""Upload of spreadsheets (http-api 2.2)."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest

from contract_manager import ContractManager
from running_http_server import KEY, RunningHttpServer

ROWS = [
    ["name", "args", "num", "delay"],
    ["count", "['det']", 2, None],
    [None, None, 5, None],
    ["count", '["det"]', None, 0.5],
]
PATH = "/api/queue/upload/spreadsheet"


def csv_of(rows: list[list[Any]]) -> bytes:
    def cell(value: Any) -> str:
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    return "\n".join(",".join(cell(value) for value in row) for row in rows).encode()


def xlsx_of(rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def upload(http: httpx.Client, name: str, content: bytes, **data: str) -> httpx.Response:
    return http.post(PATH, files={"spreadsheet": (name, content)}, data=data)


@pytest.mark.parametrize(("name", "content"), [("plans.csv", csv_of(ROWS)), ("PLANS.XLSX", xlsx_of(ROWS))])
@pytest.mark.row(
    "http-api",
    "POST /queue/upload/spreadsheet",
    "spreadsheet: the reply of a batch",
    "spreadsheet: csv",
    "spreadsheet: xls",
    "spreadsheet: xlsx",
)
def test_plans_are_added_as_one_batch(name: str, content: bytes, http: httpx.Client) -> None:
    reply = upload(http, name, content).json()
    assert (reply["success"], reply["msg"], reply["qsize"], len(reply["results"])) == (True, "", 2, 2)
    first, second = reply["items"]
    assert (first["item_type"], first["name"], first["args"], first["kwargs"]) == (
        "plan",
        "count",
        [["det"]],
        {"num": 2},
    )
    assert second["kwargs"] == {"delay": 0.5}
    assert first["user"] == "UNAUTHENTICATED_SINGLE_USER"


@pytest.mark.row("http-api", "spreadsheet: cells are literals")
def test_cells_are_never_evaluated(http: httpx.Client, tmp_path: Path) -> None:
    mark = tmp_path / "evaluated"
    evil = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    reply = upload(http, "a.csv", csv_of([["name", "args", "num"], ["count", "['det']", evil]])).json()
    assert reply["success"] is False
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.txt",
            b"x",
            "File 'a.txt' (extension '.txt') is not supported: supported extensions ('.xlsx', '.xls', '.csv')",
        ),
        ("a.xlsx", b"no workbook", "File 'a.xlsx' cannot be read as .xlsx"),
        ("a.xls", b"no workbook", "File 'a.xls' cannot be read as .xls"),
        ("a.csv", b"\xff\xfe", "The file is not UTF-8 text"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"name,args,not a name\ncount,,1", "does not have the name of a keyword argument"),
        ("", b"", "is not supported"),
    ],
)
@pytest.mark.row("http-api", "spreadsheet: a file that cannot be read", "spreadsheet: an unsupported extension")
def test_a_file_that_cannot_be_read_is_200_and_not_a_success(
    name: str, content: bytes, words: str, http: httpx.Client
) -> None:
    response = upload(http, name or "noname", content)
    assert response.status_code == 200
    reply = response.json()
    assert reply.keys() == {"success", "msg", "items", "results"}
    assert (reply["success"], reply["items"], reply["results"]) == (False, [], [])
    assert words in reply["msg"]


def test_malformed_forms_are_refused(http: httpx.Client) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    for headers, content in (
        (boundary, b"nonsense"),
        ({"Content-Type": "multipart/form-data"}, b"x"),
        (boundary, b'--b\r\nContent-Disposition: form-data; name="spreadsheet"\r\n\r\ntext\r\n--b--\r\n'),
        (boundary, b"--b\r\nContent-Disposition: form-data\r\n\r\ntext\r\n--b--\r\n"),
        ({"Content-Type": "application/json"}, b"{}"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"spreadsheet=x"),
    ):
        response = http.post(PATH, headers=headers, content=content)
        assert response.status_code in (400, 422), content
        assert isinstance(response.json()["detail"], str)


CUSTOM = """
def spreadsheet_to_plan_list(*, spreadsheet_file, file_name, data_type, user):
    if data_type is None:
        return None
    if data_type == "broken":
        raise RuntimeError("this is broken")
    return [{"name": "count", "args": [["det"]], "kwargs": {"md": {"from": data_type, "by": user}}}]
"""


@pytest.mark.row("http-api", "spreadsheet: custom function, and None for the default one")
def test_a_custom_module_may_process_the_file(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager, tmp_path: Path
) -> None:
    (tmp_path / "processing_of_tests.py").write_text(CUSTOM)
    environment = {"PYTHONPATH": str(tmp_path), "QSERVER_CUSTOM_MODULES": "processing_of_tests"}
    server = start_server(manager, environment=environment)
    with server.client(Authorization=f"ApiKey {KEY}") as client:
        [item] = upload(client, "a.bin", b"", data_type="special").json()["items"]
        assert item["kwargs"] == {"md": {"from": "special", "by": "UNAUTHENTICATED_SINGLE_USER"}}
        assert len(upload(client, "a.csv", csv_of(ROWS)).json()["items"]) == 2
        assert "this is broken" in upload(client, "a.csv", b"", data_type="broken").json()["msg"]
