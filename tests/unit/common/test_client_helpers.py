"""Helpers for clients (plans-and-permissions 7)."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import zmq

from queueserver_common.clients.plan_descriptions import (
    bind_plan_arguments,
    construct_parameters,
    format_text_descriptions,
    validate_plan,
)
from queueserver_common.clients.receivers import (
    ReceiveConsoleOutput,
    ReceiveConsoleOutputAsync,
    ReceiveSystemInfo,
    ReceiveSystemInfoAsync,
)
from queueserver_common.clients.requests import (
    CommTimeoutError,
    ZMQCommSendAsync,
    ZMQCommSendThreads,
    generate_zmq_keys,
    generate_zmq_public_key,
    validate_zmq_key,
)
from queueserver_common.lists_file import read_lists
from queueserver_common.simulated_profile import simulated_profile_dir

LISTS = read_lists(simulated_profile_dir() / "existing_plans_and_devices.yaml")
COUNT, MOVE = LISTS.plans["count"], LISTS.plans["move_then_count"]


@pytest.mark.row("plans-and-permissions", "construct_parameters")
def test_parameters_have_order_kinds_defaults_and_types() -> None:
    parameters = construct_parameters(COUNT["parameters"])
    assert [parameter.name for parameter in parameters] == ["detectors", "num", "delay", "per_shot", "md"]
    assert {parameter.kind for parameter in parameters[:3]} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    by_name = {parameter.name: parameter for parameter in parameters}
    assert str(by_name["detectors"].annotation) == "collections.abc.Sequence[str]"
    assert by_name["detectors"].default is inspect.Parameter.empty
    assert (str(by_name["num"].annotation), by_name["num"].default) == ("int | None", 1)
    assert str(by_name["delay"].annotation) == "float | collections.abc.Iterable[float]"
    assert str(by_name["md"].annotation) == "dict[str, typing.Any] | None"
    assert inspect.Signature(parameters)


def test_declared_names_are_literals_and_decoded_values_count() -> None:
    motors, detectors, _ = construct_parameters(MOVE["parameters"])
    assert str(motors.annotation) == "list[typing.Literal['motor1', 'motor2']]"
    assert detectors.default == ["det1", "det2"]
    decoded = construct_parameters(MOVE["parameters"], params_decoded={"detectors": {"default": 5, "annotation": int}})
    assert (decoded[1].default, decoded[1].annotation) == (5, int)


def test_a_description_that_cannot_be_understood_is_refused() -> None:
    broken = [{**COUNT["parameters"][1], "default": "open('x')"}]
    with pytest.raises(ValueError, match=r"Parameter 'num' cannot be understood: .* is not a Python literal"):
        construct_parameters(broken)  # type: ignore[arg-type]


@pytest.mark.row("plans-and-permissions", "bind_plan_arguments")
def test_arguments_are_bound_to_names() -> None:
    bound = bind_plan_arguments(plan_args=[["det1"]], plan_kwargs={"num": 3}, plan_parameters=COUNT)
    assert isinstance(bound, inspect.BoundArguments)
    assert bound.arguments == {"detectors": ["det1"], "num": 3}
    bound.apply_defaults()
    assert bound.arguments["delay"] == 0.0
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'abc'"):
        bind_plan_arguments(plan_args=[["det1"]], plan_kwargs={"abc": 3}, plan_parameters=COUNT)


@pytest.mark.row("plans-and-permissions", "validate_plan")
def test_validation_says_what_the_manager_says() -> None:
    lists: dict[str, Any] = {"allowed_plans": LISTS.plans, "allowed_devices": LISTS.devices}
    assert validate_plan({"item_type": "plan", "name": "count", "args": [["det1"]]}, **lists) == (True, "")
    ok, text = validate_plan({"name": "count", "args": [["det1"]], "kwargs": {"a": 1}}, **lists)
    assert not ok
    assert text.startswith("Plan validation failed: got an unexpected keyword argument 'a'\nPlan: {")
    assert "Plan 'nope' is not in the list of allowed plans." in validate_plan({"name": "nope"}, **lists)[1]
    assert validate_plan({"name": "nope"}, allowed_plans=None, allowed_devices=None) == (True, "")


@pytest.mark.row("plans-and-permissions", "format_text_descriptions")
def test_texts_for_tool_tips() -> None:
    texts = format_text_descriptions(MOVE)
    assert texts["description"].startswith("Name: move_then_count\nMove")
    assert texts["parameters"]["motors"].startswith(
        "Name: motors\nType: typing.List[Motors]\nMotors: ('motor1', 'motor2')\nDefault: -\n"
    )
    assert "Default: None\nMin: -10 Max: 10 Step: 0.01\n" in texts["parameters"]["positions"]
    html = format_text_descriptions(MOVE, use_html=True)["parameters"]["positions"]
    assert "<i>Min:</i> <b>-10</b> <i>Max:</i> <b>10</b> <i>Step:</i> <b>0.01</b><br>" in html


def test_keys() -> None:
    public, private = generate_zmq_keys()
    assert generate_zmq_public_key(private) == public
    validate_zmq_key(public)
    for bad in ("x", 5, "\0" * 40):
        with pytest.raises(ValueError, match="the key must be a 40 byte z85 encoded string"):
            validate_zmq_key(bad)


@pytest.fixture
def publisher() -> Iterator[tuple[Any, str]]:
    socket = zmq.Context.instance().socket(zmq.XPUB)
    socket.linger = 0
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    yield socket, f"tcp://127.0.0.1:{port}"
    socket.close()


@pytest.mark.row("plans-and-permissions", "receivers of console and status")
@pytest.mark.parametrize(("kind", "topic"), [(ReceiveConsoleOutput, b"QS_Console"), (ReceiveSystemInfo, b"QS_Info")])
@pytest.mark.parametrize(("encoding", "dump"), [("json", lambda v: json.dumps(v).encode()), ("msgpack", msgpack.packb)])
def test_published_messages_are_received(publisher: Any, kind: Any, topic: bytes, encoding: str, dump: Any) -> None:
    socket, address = publisher
    receiver = kind(zmq_subscribe_addr=address, encoding=encoding, timeout=10_000)
    assert socket.recv() == b"\1" + topic  # the subscription has arrived
    socket.send_multipart([topic, dump({"time": 1.0, "msg": "text"})])
    assert receiver.recv() == {"time": 1.0, "msg": "text"}
    with pytest.raises(TimeoutError, match="No message received during timeout period 10 ms"):
        receiver.recv(timeout=10)
    receiver.unsubscribe()
    assert socket.recv() == b"\0" + topic
    receiver.close()


@pytest.mark.parametrize("kind", [ReceiveConsoleOutputAsync, ReceiveSystemInfoAsync])
def test_published_messages_are_received_in_asyncio(publisher: Any, kind: Any) -> None:
    socket, address = publisher
    got: list[Any] = []

    async def follow() -> None:
        receiver = kind(zmq_subscribe_addr=address, timeout=10_000)
        topic = (await asyncio.to_thread(socket.recv))[1:]
        socket.send_multipart([topic, b'{"time": 1.0, "msg": "one"}'])
        got.append(await receiver.recv())
        with pytest.raises(TimeoutError):
            await receiver.recv(timeout=10)
        arrived = asyncio.Event()

        async def take(message: Any) -> None:
            got.append(message)
            arrived.set()

        receiver.set_callback(take)
        receiver.start()
        socket.send_multipart([topic, b'{"time": 2.0, "msg": "two"}'])
        await asyncio.wait_for(arrived.wait(), 10)
        receiver.stop()
        receiver.close()

    asyncio.run(follow())
    assert [message["msg"] for message in got] == ["one", "two"]


@pytest.fixture
def server() -> Iterator[str]:
    """Answers every request with itself, but those of the method `unanswered`."""
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    socket.linger = 0
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            if socket.poll(20) and b"unanswered" not in (frames := socket.recv_multipart())[-1]:
                socket.send_multipart(frames)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"tcp://127.0.0.1:{port}"
    ended.set()
    thread.join()
    socket.close()


@pytest.mark.row("plans-and-permissions", "requests of programs")
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_requests_are_answered(server: str, encoding: str) -> None:
    client = ZMQCommSendThreads(zmq_server_address=server, encoding=encoding, timeout_recv=10_000)
    expected = {"method": "status", "params": {"a": 1}}
    assert client.send_message(method="status", params={"a": 1}) == expected
    called = threading.Event()
    replies: list[Any] = []
    client.send_message(method="status", params={"a": 1}, cb=lambda *got: (replies.append(got), called.set()))
    assert called.wait(10)
    assert replies == [(expected, "")]
    client.close()


def test_no_answer_is_an_error_and_the_next_request_works(server: str) -> None:
    nobody = ZMQCommSendThreads(zmq_server_address="ipc:///tmp/queueserver-nobody", timeout_recv=20)
    with pytest.raises(CommTimeoutError, match="timeout occurred"):
        nobody.send_message(method="status")
    assert nobody.send_message(method="status", raise_exceptions=False) == {
        "success": False,
        "msg": "ZMQ communication error: timeout occurred",
    }
    nobody.close()
    client = ZMQCommSendThreads(zmq_server_address=server, timeout_recv=10_000)
    with pytest.raises(CommTimeoutError):
        client.send_message(method="unanswered", timeout=20)
    assert client.send_message(method="ping")["method"] == "ping"
    client.close()


def test_requests_of_asyncio_programs(server: str) -> None:
    async def ask() -> list[Any]:
        client = ZMQCommSendAsync(zmq_server_address=server, timeout_recv=10_000)
        assert client.get_loop() is asyncio.get_running_loop()
        replies = await asyncio.gather(*(client.send_message(method=f"m{number}") for number in range(3)))
        client.close()
        return replies

    assert [reply["method"] for reply in asyncio.run(ask())] == ["m0", "m1", "m2"]
