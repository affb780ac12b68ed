"""`re_metadata` (zmq-api 5.8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contract_manager import COUNT, PROFILE, ContractClient, ContractManager

MADE_UP = """
RE.md["sample"] = {"name": "Cu", "owner": "A"}
RE.md["sample_id"] = 7
RE.md["wait"] = "no"
"""
SLOW = """
import collections
import time


class FarAway(collections.UserDict):
    def __iter__(self):
        time.sleep(3600)
        return super().__iter__()


RE.md = FarAway(RE.md)
"""
NOT_JSON = "RE.md['set'] = {1, 2}"
NO_METADATA = "del RE.md"
NO_ENGINE = "del RE"


def with_file(text: str) -> dict[str, str]:
    return {**PROFILE, "99-metadata.py": text}


@pytest.mark.method("re_metadata")
@pytest.mark.row("zmq-api", "re_metadata")
def test_metadata_of_the_run_engine_change_with_its_runs(manager: ContractClient) -> None:
    assert manager.accepted("re_metadata")["re_metadata"]["metadata_key"] == "metadata_value"
    manager.run(COUNT)
    (entry,) = manager.history
    assert manager.accepted("re_metadata")["re_metadata"]["scan_id"] == entry["result"]["scan_ids"][-1]


def test_the_revision_of_the_startup_code_is_in_metadata_and_history(manager: ContractClient) -> None:
    manager.run(COUNT)
    revision = manager.accepted("re_metadata")["re_metadata"]["startup_revision"]
    assert revision.startswith("sha256:")
    assert manager.history[0]["result"]["startup_revision"] == revision


def test_metadata_are_told_while_a_plan_runs(manager: ContractManager) -> None:
    held = manager.start_holding()
    assert "metadata_key" in manager.accepted("re_metadata")["re_metadata"]
    held.end()


def test_without_an_environment_there_are_no_metadata(closed_manager: ContractManager) -> None:
    assert closed_manager.call("re_metadata") == {
        "success": False,
        "msg": "Environment does not exist. Cannot retrieve RE metadata.",
        "re_metadata": {},
    }
    assert closed_manager.refusal_code("re_metadata") == "no_environment"


@pytest.mark.row("zmq-api", "re_metadata: permitted keys")
@pytest.mark.row("cli", "--permitted-re-metadata-keys")
def test_only_permitted_keys_are_told(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager(
        startup_files=with_file(MADE_UP), options=["--permitted-re-metadata-keys", "/sample/name", "/sample_id"]
    )
    manager.open_environment()
    assert manager.accepted("re_metadata")["re_metadata"] == {"sample": {"name": "Cu"}, "sample_id": 7}
    manager.stop()


@pytest.mark.row("zmq-api", "re_metadata: refusals")
def test_why_metadata_cannot_be_told(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager(startup_files=with_file(NOT_JSON))
    texts = {
        NOT_JSON: "Failed to serialize RE metadata with JSON: Object of type set is not JSON serializable",
        NO_METADATA: "Run Engine does not have a metadata attribute",
        NO_ENGINE: "Run Engine does not exist in worker environment",
    }
    for content, text in texts.items():
        (manager.startup_dir / "99-metadata.py").write_text(content)
        manager.open_environment()
        reply = manager.call("re_metadata")
        assert (reply["success"], reply["msg"], reply["re_metadata"]) == (False, text, {})
        manager.close_environment()
    manager.stop()


def test_metadata_that_are_far_away_hold_up_nothing_else(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager(startup_files=with_file(SLOW))
    manager.open_environment()
    reply = manager.call("re_metadata")
    assert (reply["success"], reply["msg"]) == (False, "Timeout occurred while processing the request")
    status = manager.status()
    assert (status["manager_state"], status["worker_link"]) == ("idle", "attached")
    manager.stop()
