from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from queueserver_common.lists_file import ListsFileError, lists_digest, read_digest, read_lists, write_lists

KIND = {"name": "POSITIONAL_OR_KEYWORD", "value": 1}
NAMES = ["det1", "det2"]
DEVICE: dict[str, Any] = {
    "is_readable": True,
    "is_movable": False,
    "is_flyable": False,
    "classname": "Signal",
    "module": "ophyd",
}
DEVICES: dict[str, Any] = {"det2": {**DEVICE, "components": {"val": DEVICE}}, "det1": DEVICE}


def plans(description: str = "Count.", **properties: Any) -> dict[str, Any]:
    first = {"name": "detectors", "kind": KIND, "annotation": {"type": "typing.List[D]", "devices": {"D": NAMES}}}
    second = {**first, "name": "others", "default": "['it''s']\n"}
    return {
        "count": {
            "name": "count",
            "module": "plans",
            "description": description,
            "parameters": [first, second],
            "properties": properties,
        }
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "existing_plans_and_devices.yaml"


def test_what_was_written_is_read_back_in_the_same_order(path: Path) -> None:
    assert write_lists(path, plans(), DEVICES)
    lists = read_lists(path)
    assert (lists.plans, lists.devices) == (plans(), DEVICES)
    assert list(lists.devices) == ["det2", "det1"]
    assert lists.digest == lists_digest(plans(), DEVICES) == read_digest(path)


@pytest.mark.row("plans-and-permissions", "the lists file")
def test_the_file_is_plain_yaml_for_other_readers(path: Path) -> None:
    write_lists(path, plans(), DEVICES)
    assert yaml.safe_load(path.read_text()) == {"existing_devices": DEVICES, "existing_plans": plans()}
    assert "&id" not in path.read_text()  # no anchors for lists that occur twice


def test_unchanged_lists_are_not_written_again(path: Path) -> None:
    write_lists(path, plans(), DEVICES)
    before = path.stat()
    reordered = dict(reversed(DEVICES.items()))
    assert not write_lists(path, plans(), reordered)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_changed_lists_replace_the_file(path: Path) -> None:
    write_lists(path, plans(), DEVICES)
    assert write_lists(path, plans("Count more."), DEVICES)
    assert read_lists(path).plans == plans("Count more.")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_that_a_person_changed_has_no_digest_and_is_written_again(path: Path) -> None:
    write_lists(path, plans(), DEVICES)
    path.write_text(path.read_text().replace("Count.", "Changed."))
    assert read_digest(path) is None
    assert read_lists(path).plans == plans("Changed.")
    assert write_lists(path, plans(), DEVICES)
    assert read_digest(path) == lists_digest(plans(), DEVICES)


@pytest.mark.parametrize(
    "content", [b"", b"# a comment\nexisting_plans: {}\n", b"\n\n\n\n", b"# lists sha256: \xff\n\n\n"]
)
def test_a_file_of_another_origin_has_no_digest(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_digest(path) is None


def test_a_missing_file_has_no_digest(path: Path) -> None:
    assert read_digest(path) is None


def test_comments_before_the_lists_are_allowed(path: Path) -> None:
    path.write_text(f"# one\n# two\n{yaml.safe_dump({'existing_devices': DEVICES, 'existing_plans': plans()})}")
    assert read_lists(path).devices == DEVICES


@pytest.mark.parametrize("content", ["", "# nothing\n", "{}", "existing_plans: {}\n"])
def test_a_file_without_lists_holds_no_plans_and_devices(path: Path, content: str) -> None:
    path.write_text(content)
    assert (read_lists(path).plans, read_lists(path).devices) == ({}, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"existing_plans: [", "not valid YAML"),
        (b"\xff\xfe\xfd\x00\x01", "not valid YAML"),
        (b"!!python/object/apply:os.getcwd []", "not valid YAML"),
        (b"- a", "a mapping with the keys 'existing_plans' and 'existing_devices' is expected"),
        (b"existing_plans: 5", "the list of plans: a mapping is expected"),
        (b"existing_plans: {count: {name: count}}", "plan 'count': key 'parameters' must be a list"),
        (b"existing_devices: {det: {}}", "device 'det': key 'is_readable' must be true or false"),
        (b"existing_plans: &a {count: *a}", "plan 'count'"),
        (b"existing_plans: {? [a] : 1}", "existing_plans_and_devices.yaml"),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_its_name(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ListsFileError) as refused:
        read_lists(path)
    assert str(path) in str(refused.value)
    assert message in str(refused.value)


@pytest.mark.row("plans-and-permissions", "the lists file: unreadable")
def test_a_file_that_cannot_be_read_or_written_is_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ListsFileError, match="cannot be read") as refused:
        read_lists(path)
    assert str(path) in str(refused.value)
    elsewhere = tmp_path / "no such directory" / "lists.yaml"
    with pytest.raises(ListsFileError, match="cannot be written") as refused:
        write_lists(elsewhere, plans(), DEVICES)
    assert "no such directory" in str(refused.value)


def test_a_text_that_cannot_be_encoded_leaves_the_file_as_it_was(path: Path) -> None:
    write_lists(path, plans(), DEVICES)
    with pytest.raises(ListsFileError, match="cannot be written"):
        write_lists(path, plans("\ud800"), DEVICES)
    assert read_lists(path).plans == plans()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_digest_tells_lists_apart() -> None:
    assert lists_digest(plans(), DEVICES) != lists_digest(plans("Other."), DEVICES)
    assert lists_digest(plans(), DEVICES) != lists_digest(plans(), {"det1": DEVICE})
    assert lists_digest(plans(x=math.inf), DEVICES) != lists_digest(plans(x=None), DEVICES)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@settings(deadline=None, max_examples=50)
@given(TEXTS, st.dictionaries(TEXTS, st.booleans() | st.integers() | st.none() | TEXTS, max_size=3))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str, properties: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("lists") / "lists.yaml"
    described = plans(text)
    described["count"]["properties"] = properties
    write_lists(path, described, {})
    assert read_lists(path).plans == described
