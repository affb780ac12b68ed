"""Several clients: none holds up another, and each sees one consistent state (zmq-api 1.1, 5.5)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from contract_manager import CALLER, QUICK, ContractManager, plan


@contextmanager
def connection(manager: ContractManager) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.REQ) as requests:
        requests.linger = 0
        requests.connect(manager.control_address)
        yield requests


def ask(requests: zmq.Socket[bytes], method: str, **params: Any) -> Any:
    requests.send(json.dumps({"method": method, "params": params}).encode())
    assert requests.poll(20_000)
    return json.loads(requests.recv())


@pytest.mark.row("zmq-api", "a slow request holds up nobody")
def test_the_status_is_answered_while_a_large_batch_is_checked(closed_manager: ContractManager) -> None:
    items = [plan("count", ["det1", "det2"], num=5, md={"number": number}) for number in range(20_000)]
    with connection(closed_manager) as one, connection(closed_manager) as other:
        one.send(json.dumps({"method": "queue_item_add_batch", "params": {"items": items, **CALLER}}).encode())
        slowest, answers = 0.0, 0
        while not one.poll(0):
            begin = time.monotonic()
            ask(other, "status")
            slowest = max(slowest, time.monotonic() - begin)
            answers += 1
        assert json.loads(one.recv())["qsize"] == 20_000
    assert answers > 5
    assert slowest < 1.0


@pytest.mark.row("zmq-api", "requests of one client keep their order")
def test_requests_of_one_client_are_decided_in_their_order(closed_manager: ContractManager) -> None:
    batch = [plan("count", ["det"])] * 3000
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(closed_manager.control_address)
        for method, params in (
            ("queue_item_add_batch", {"items": batch, **CALLER}),
            ("queue_item_add", {"item": QUICK, **CALLER}),
            ("queue_item_add_batch", {"items": batch, "pos": "front", **CALLER}),
            ("queue_clear", {}),
            ("queue_item_add", {"item": QUICK, **CALLER}),
        ):
            dealer.send_multipart([b"", json.dumps({"method": method, "params": params}).encode()])
        sizes = []
        for _ in range(5):
            assert dealer.poll(20_000)
            sizes.append(json.loads(dealer.recv_multipart()[1]).get("qsize"))
    assert sizes == [3000, 3001, 6001, None, 1]


@pytest.mark.row("zmq-api", "queue_get: a consistent view")
def test_every_view_of_the_queue_is_consistent_while_others_change_it_and_plans_run(manager: ContractManager) -> None:
    manager.fill(20)
    manager.accepted("queue_mode_set", mode={"loop": True})
    end = time.monotonic() + 2.0

    def edit(number: int) -> None:
        with connection(manager) as requests:
            while time.monotonic() < end:
                ask(requests, "queue_item_add", item=QUICK, pos=number, **CALLER)
                ask(requests, "queue_item_move", pos="back", pos_dest=number)
                ask(requests, "queue_item_remove", pos="back")

    def look() -> int:
        views: dict[str, str] = {}
        with connection(manager) as requests:
            while time.monotonic() < end:
                view = ask(requests, "queue_get")
                uids = [item["item_uid"] for item in view["items"]]
                if view["running_item"]:
                    uids.append(view["running_item"]["item_uid"])
                assert len(uids) == len(set(uids))
                assert len(uids) >= 18
                key = json.dumps([view["items"], view["running_item"].get("item_uid")])
                assert views.setdefault(view["plan_queue_uid"], key) == key, "one uid, two contents"
        return len(views)

    manager.start_queue()
    with ThreadPoolExecutor(4) as pool:
        editors = [pool.submit(edit, number) for number in range(3)]
        assert pool.submit(look).result() > 10
        for editor in editors:
            editor.result()
    manager.accepted("queue_stop")
    manager.wait_idle()
    assert {item["result"]["exit_status"] for item in manager.history} == {"completed"}
