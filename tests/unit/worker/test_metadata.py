"""Which part of the RunEngine's metadata clients may read, and what they are told when it cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from queueserver_worker.runtime.metadata import MetadataError, metadata_text

METADATA = {"scan_id": 5, "sample": {"name": "Cu", "owner": {"name": "A"}}, "sample_id": 7, "proposal": "x"}


def read(permitted: tuple[str, ...], metadata: object = METADATA) -> bytes:
    return metadata_text(lambda: metadata, permitted)


@pytest.mark.parametrize(
    ("permitted", "expected"),
    [
        (("/",), METADATA),
        ((), {}),
        (("/scan_id",), {"scan_id": 5}),
        (("scan_id", "/proposal/"), {"scan_id": 5, "proposal": "x"}),
        (("/sample",), {"sample": METADATA["sample"]}),  # and not sample_id: whole components are compared
        (("/sample/name",), {"sample": {"name": "Cu"}}),
        (("/sample/owner/name",), {"sample": {"owner": {"name": "A"}}}),
        (("/sample/nothing",), {}),
        (("/scan_id/deeper",), {}),
        (("/no_such_key",), {}),
    ],
)
def test_what_lies_below_a_permitted_path_is_told(permitted: tuple[str, ...], expected: dict[str, Any]) -> None:
    import json

    assert json.loads(read(permitted)) == expected


def test_what_is_not_permitted_does_no_harm() -> None:
    assert read(("/scan_id",), {"scan_id": 1, "secret": object()}) == b'{"scan_id": 1}'


class Unreadable(dict[str, Any]):
    def keys(self) -> Any:
        raise ConnectionError("the server of the metadata is away")

    def __iter__(self) -> Iterator[str]:
        raise ConnectionError("the server of the metadata is away")


def no_engine() -> object:
    raise LookupError("RE")


def no_metadata() -> object:
    raise AttributeError("md")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (no_engine, "Run Engine does not exist in worker environment"),
        (no_metadata, "Run Engine does not have a metadata attribute"),
        (lambda: 5, "Failed to convert Run Engine metadata to dictionary: 'int' object is not iterable"),
        (
            Unreadable,
            "Failed to convert Run Engine metadata to dictionary: the server of the metadata is away",
        ),
        (
            lambda: {"key": {1, 2}},
            "Failed to serialize RE metadata with JSON: Object of type set is not JSON serializable",
        ),
    ],
)
def test_the_reason_why_metadata_cannot_be_told(source: Callable[[], object], text: str) -> None:
    with pytest.raises(MetadataError) as told:
        metadata_text(source, ("/",))
    assert str(told.value) == text
