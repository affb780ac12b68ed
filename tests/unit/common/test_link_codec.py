from __future__ import annotations

import dataclasses
import types
import typing
from enum import StrEnum
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queueserver_common.link import messages
from queueserver_common.link.codec import LinkError, decode, encode
from queueserver_common.link.messages import (
    PROTOCOL_VERSION,
    Command,
    CommandResult,
    Console,
    Event,
    EventsStored,
    ExitStatus,
    Heartbeat,
    Introduce,
    ItemEnded,
    Pause,
    Snapshot,
    SnapshotChanged,
    Welcome,
)

MESSAGES = typing.get_args(messages.ToManager) + typing.get_args(messages.ToWorker)
JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a type that a message may carry."""
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([values(member) for member in typing.get_args(annotation)])
    if origin is tuple:
        return st.lists(values(typing.get_args(annotation)[0]), max_size=3).map(tuple)
    if annotation is type(None):
        return st.none()
    if issubclass(annotation, StrEnum):
        return st.sampled_from(annotation)
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        return st.builds(annotation, **{f.name: values(hints[f.name]) for f in dataclasses.fields(annotation)})
    simple: dict[type, st.SearchStrategy[Any]] = {
        str: st.text(max_size=20),
        bytes: st.binary(max_size=20),
        bool: st.booleans(),
        int: st.integers(-(2**63), 2**64 - 1),
        float: st.floats(allow_nan=False),
    }
    return simple[annotation]


@settings(max_examples=400, deadline=None)
@given(st.one_of([values(kind) for kind in MESSAGES]))
def test_every_message_comes_back_as_it_was(message: Any) -> None:
    assert decode(encode(message)) == message


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_a_link_error(frame: bytes) -> None:
    try:
        message = decode(frame)
    except LinkError:
        return
    assert type(message) in MESSAGES


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([PROTOCOL_VERSION, 0, 2, "1", None, True]) | JSON_LIKE,
    st.sampled_from([kind.__name__ for kind in MESSAGES]) | JSON_LIKE,
    JSON_LIKE | st.lists(JSON_LIKE, max_size=14),
)
def test_wrong_values_never_reach_a_handler(version: Any, kind: Any, fields: Any) -> None:
    try:
        message = decode(msgpack.packb([version, kind, fields]))
    except LinkError:
        return
    assert decode(encode(message)) == message or "nan" in repr(message)


@settings(max_examples=300, deadline=None)
@given(st.one_of([values(kind) for kind in MESSAGES]), st.data())
def test_a_frame_that_was_cut_or_changed_is_refused_or_another_message(message: Any, data: Any) -> None:
    frame = bytearray(encode(message))
    place = data.draw(st.integers(0, len(frame) - 1))
    if data.draw(st.booleans()):
        del frame[place:]
    else:
        frame[place] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode(bytes(frame))
    except LinkError:
        return
    assert type(decoded) in MESSAGES


def frame(kind: str, fields: Any, version: Any = PROTOCOL_VERSION) -> bytes:
    packed: bytes = msgpack.packb([version, kind, fields])
    return packed


def test_missing_fields_take_their_defaults_and_unknown_ones_are_cut() -> None:
    assert decode(frame("CommandResult", ["id", True])) == CommandResult("id", ok=True)
    assert decode(frame("Console", [1.5, "text", 0, "of a later release"])) == Console(1.5, "text")
    assert decode(frame("SnapshotChanged", [["Snapshot", []]])) == SnapshotChanged(Snapshot())
    assert decode(frame("Heartbeat", ["anything"])) == Heartbeat()


def test_a_whole_number_stands_for_a_float_and_nothing_else_is_converted() -> None:
    assert decode(frame("Console", [2, "text", 0])) == Console(2.0, "text")
    for fields in ([1, "0"], [1, 0.0], [True, 0], [None, 0], ["1", 0], [b"1", 0]):
        with pytest.raises(LinkError):
            decode(frame("Welcome", fields))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"", "not a msgpack frame"),
        (b"\xc1", "not a msgpack frame"),
        (encode(Introduce()) + b"\x00", "not a msgpack frame"),
        (msgpack.packb({}), "not a list of version, kind and fields"),
        (msgpack.packb([1, "Welcome"]), "not a list of version, kind and fields"),
        (frame("Welcome", [1, 0], version=PROTOCOL_VERSION + 1), "link version 2 is not supported"),
        (frame("Welcome", [1, 0], version=[]), "is not supported"),
        (frame("Welcome", [1, 0], version=True), "is not supported"),
        (frame("NoSuchKind", []), "unknown message kind 'NoSuchKind'"),
        (frame("ItemEnded", []), "unknown message kind"),
        (frame("Welcome", [1]), "Welcome needs 2 fields, got 1"),
        (frame("Welcome", "ab"), "fields of Welcome are not a list"),
        (frame("Command", ["id", 1, ["Welcome", [1, 0]]]), "expected one of"),
        (frame("Command", ["id", 1, [["Pause"], [True]]]), "expected one of"),
        (frame("Command", ["id", 1, None]), "expected one of"),
        (frame("Event", [1, ["ItemEnded", ["uid", "exploded", 1.0, 2.0]]]), "'exploded' is not a ExitStatus"),
        (frame("Event", [1, ["ItemEnded", ["uid", ["completed"], 1.0, 2.0]]]), "is not a ExitStatus"),
        (frame("Event", [1, ["ItemEnded", ["uid", "completed", 1.0, 2.0, "run"]]]), "expected a list, got str"),
    ],
)
def test_a_frame_that_does_not_fit_says_why(wrong: bytes, reason: str) -> None:
    with pytest.raises(LinkError, match=reason):
        decode(wrong)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(LinkError):
        decode(b"\x91" * 100_000 + b"\x90")


def test_items_of_any_content_travel_as_text() -> None:
    item = b'{"kwargs": {"n": 123456789012345678901234567890, "x": NaN, "y": -Infinity}}'
    command = Command("id", 3, messages.RunItem(item))
    assert decode(encode(command)) == command


def test_events_and_commands_keep_their_kind() -> None:
    ended = ItemEnded("uid", ExitStatus.HALTED, 1.0, 2.0, ("a", "b"), (1, 2**40), "msg", "traceback", refused=True)
    assert decode(encode(Event(2**40, ended))) == Event(2**40, ended)
    assert decode(encode(Command("id", 1, Pause(deferred=True)))) == Command("id", 1, Pause(deferred=True))
    assert decode(encode(EventsStored(0))) == EventsStored(0)
    assert decode(encode(Welcome(1, 2))) == Welcome(1, 2)


def test_a_hello_of_the_release_before_is_understood() -> None:
    fields = ["opening", "token", 3, 77, "host", 1.5, "0.1.0", "ready", 9, ["Snapshot", []], [], 8]
    hello = decode(frame("Hello", fields))
    assert isinstance(hello, messages.Hello)
    assert (hello.acked_seq, hello.pod_uid, hello.tasks) == (8, "", ())


def test_a_hello_is_understood_by_the_release_before_which_knows_fewer_fields() -> None:
    task = messages.KnownTask("t", "c", background=True, time_start=1.5)
    hello = messages.Hello(
        "o", "t", 1, 2, "h", 1.0, "v", messages.EnvironmentPhase.READY, 1, pod_uid="pod", tasks=(task,)
    )
    kind, fields = msgpack.unpackb(encode(hello))[1:]
    assert kind == "Hello"
    assert fields[-2] == "pod", "a new field stands at the end, where an older release cuts it off"
    assert fields[-1] == [["KnownTask", ["t", "c", True, 1.5, False]]]
    assert fields[:-2] == msgpack.unpackb(encode(dataclasses.replace(hello, pod_uid="", tasks=())))[2][:-2]
