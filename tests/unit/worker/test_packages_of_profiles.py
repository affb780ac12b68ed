"""What profiles of beamlines use of bluesky works without further packages."""

from __future__ import annotations

from pathlib import Path

from bluesky.utils import PersistentDict


def test_metadata_that_a_profile_keeps_on_disk_is_there_at_the_next_opening(tmp_path: Path) -> None:
    PersistentDict(str(tmp_path))["scan_id"] = 41
    assert PersistentDict(str(tmp_path))["scan_id"] == 41
