from __future__ import annotations

from typing import Any

from queueserver_manager.cluster.queue_server_status import part_of_status
from queueserver_manager.core.core import Core
from queueserver_manager.core.model import LinkState
from queueserver_manager.core.status import status_mapping


def status(**changes: Any) -> dict[str, Any]:
    core = Core(lambda: "uid")
    core.state.link = LinkState.ATTACHED
    return status_mapping(core.state, version="1", time="now", status_uid="uid", store="connected") | changes


def test_the_part_has_the_fields_of_the_schema_and_values_of_the_declared_types() -> None:
    part = part_of_status(status(items_in_queue=3), "count", "completed", "qs-1")
    assert part == {
        "queue": {"items": 3, "running": "count", "runningUid": "", "lastExitStatus": "completed"},
        "state": {
            "manager": "initializing",
            "environment": "closed",
            "re": "",
            "link": "connected",
            "environmentName": "qs-1",
            "redisConnected": True,
        },
    }


def test_every_state_of_the_link_has_a_word() -> None:
    words = {link: part_of_status(status(worker_link=link.value), "", "", "")["state"]["link"] for link in LinkState}
    assert words == {
        LinkState.ATTACHED: "connected",
        LinkState.SILENT: "silent",
        LinkState.CONNECTING: "none",
        LinkState.NONE: "none",
    }


def test_a_store_that_is_away_is_told() -> None:
    assert part_of_status(status(store="away"), "", "", "")["state"]["redisConnected"] is False
