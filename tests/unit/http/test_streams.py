from __future__ import annotations

import asyncio
import json

import pytest

from queueserver_http.handlers.reduced import reduced_plans
from queueserver_http.manager.status_cache import StatusCache
from queueserver_http.streams.broadcast import Broadcast
from queueserver_http.streams.console import Console


def test_a_reader_that_falls_behind_goes_on_with_the_newest_message() -> None:
    async def run() -> None:
        messages = Broadcast(3)
        for number in range(1, 11):
            messages.publish(b"%d" % number)
        assert await messages.next(7) == (8, b"8")
        assert await messages.next(9) == (10, b"10")
        assert messages.lost == 0
        assert await messages.next(2) == (10, b"10")
        assert messages.lost == 7
        assert messages.since(0) == [b"8", b"9", b"10"]
        assert messages.since(10) == messages.since(99) == []

    asyncio.run(run())


def test_readers_wait_for_the_next_message_and_for_the_end() -> None:
    async def run() -> None:
        messages = Broadcast()
        readers = [asyncio.ensure_future(messages.next(0)) for _ in range(3)]
        await asyncio.sleep(0)
        messages.publish(b"a")
        assert await asyncio.gather(*readers) == [(1, b"a")] * 3
        waiting = asyncio.ensure_future(messages.next(1))
        await asyncio.sleep(0)
        messages.close()
        with pytest.raises(EOFError):
            await waiting

    asyncio.run(run())


def text(*parts: str) -> Console:
    console = Console()
    for part in parts:
        console.add(json.dumps({"time": 1.0, "msg": part}).encode())
    console.close()
    return console


def test_text_is_joined_and_split_into_lines_whatever_the_messages_are() -> None:
    async def run() -> None:
        console = text("a", "b\nc\n", "", "d\ne")
        assert console.text(200) == "ab\nc\nd\ne"
        assert console.text(2) == "d\ne"
        assert text("a\nb\n").text(1) == "b\n"
        assert text().text(10) == ""

    asyncio.run(run())


def test_messages_that_come_together_are_joined_and_nothing_is_lost() -> None:
    async def run() -> None:
        console = text(*(f"{number}\n" for number in range(100)))
        messages = [json.loads(one) for one in console.since("ALL")]
        assert len(messages) == 2  # the first at once, the others together
        assert "".join(one["msg"] for one in messages) == "".join(f"{number}\n" for number in range(100))

    asyncio.run(run())


def test_an_identifier_of_another_server_or_of_nothing_gives_no_messages() -> None:
    async def run() -> None:
        console = text("a")
        assert len(console.since("ALL")) == 1
        for uid in (
            console.uid,
            "x",
            "",
            None,
            1,
            "0-0",
            text("b").uid.replace("1", "0"),
            console.uid + "\N{SUPERSCRIPT TWO}",
        ):
            assert console.since(uid) == []

    asyncio.run(run())


@pytest.mark.row("http-api", "the status is at most 0.4 s old")
def test_a_change_while_the_status_is_read_keeps_it_out_of_the_cache() -> None:
    async def run() -> None:
        replies = iter(range(100))
        cache: StatusCache

        async def read() -> bytes:
            number = next(replies)
            if number == 0:
                cache.changed()
            return b"%d" % number

        now = 0.0
        cache = StatusCache(read, lambda: now)
        assert await cache.get() == b"0"
        assert await cache.get() == b"1"
        assert await cache.get() == b"1"
        assert await cache.get(reload=True) == b"2"
        cache.changed()
        assert await cache.get() == b"3"
        now = 0.4
        assert await cache.get() == b"4"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("int|float", {"type": "float", "is_list": False}),
        ("str|int", {"type": "int", "is_list": False}),
        ("bool|str", {"type": "str", "is_list": False}),
        ("typing.List[int]", {"type": "int", "is_list": True}),
        ("list[int]", {"type": "int", "is_list": True}),
        ("typing.Sequence[int]", {"type": "int", "is_list": False}),
        ("__READABLE__", {"is_list": False}),
        ("integer", {"is_list": False}),
    ],
)
def test_a_reduced_plan_has_the_type_of_the_field(annotation: str, expected: dict[str, object]) -> None:
    parameter = {"name": "a", "kind": {"name": "KEYWORD_ONLY", "value": 3}, "annotation": {"type": annotation}}
    plan = {"name": "p", "properties": {"is_generator": True}, "parameters": [parameter]}
    [reduced] = reduced_plans({"p": plan})["p"]["parameters"]
    assert {key: reduced[key] for key in reduced if key not in ("name", "kind", "is_optional")} == expected


def test_a_reduced_plan_has_choices_defaults_and_limits_as_values() -> None:
    annotation = {"type": "typing.Union[A, B]", "devices": {"A": ["d1"]}, "enums": {"B": ["p"]}}
    parameter = {"name": "a", "annotation": annotation, "default": "'x'", "min": "1", "max": "2.5", "step": "no number"}
    [reduced] = reduced_plans({"p": {"name": "p", "parameters": [parameter]}})["p"]["parameters"]
    assert reduced == {
        "name": "a",
        "type": "str",
        "enum": ["d1", "p"],
        "is_list": False,
        "default": "x",
        "is_optional": True,
        "min": 1,
        "max": 2.5,
    }


@pytest.mark.parametrize("damaged", [b'{"time": 1}', b"[]", b"\xff", b"", b'{"time": 1, "msg": 5}'])
def test_a_message_that_cannot_be_read_takes_no_others_along(damaged: bytes) -> None:
    async def run() -> None:
        console = Console()
        console.add(b'{"time": 1, "msg": "first\\n"}')
        for payload in (b'{"time": 2, "msg": "before\\n"}', damaged, b'{"time": 3, "msg": "after\\n"}'):
            console.add(payload)
        console.close()
        assert console.text(10).splitlines() == ["first", "before", "after"]
        console.add(damaged)
        console.close()
        assert console.messages.last == 2

    asyncio.run(run())


def test_what_is_no_character_is_shown_as_its_code() -> None:
    async def run() -> None:
        console = Console()
        console.add(b'{"time": NaN, "msg": "scan_\\udcff.h5\\n"}')
        assert console.text(1).splitlines() == ["scan_\\udcff.h5"]
        [message] = console.since("ALL")
        assert json.loads(message) == {"time": None, "msg": "scan_\\udcff.h5\n"}

    asyncio.run(run())
