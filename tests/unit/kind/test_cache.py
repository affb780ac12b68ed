"""What was built is found again by the content that it was built from, and never half-built."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from kind.cache import KEPT, Cache, content_key


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def make(folder: Path) -> None:
    (folder / "file").write_text("built")


def never(folder: Path) -> None:
    raise AssertionError(f"{folder} is there already")


def test_an_entry_is_made_once(cache: Cache):
    first = cache.entry("thing", "a", make)
    assert (first / "file").read_text() == "built"
    assert cache.entry("thing", "a", never) == first
    assert cache.has("thing", "a")


def test_an_entry_whose_making_failed_is_not_there(cache: Cache):
    def fail(folder: Path) -> None:
        make(folder)
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        cache.entry("thing", "a", fail)
    assert not cache.has("thing", "a")
    assert list((cache.root / "thing").iterdir()) == []
    assert cache.entry("thing", "a", make).is_dir()


def test_what_a_killed_program_left_half_made_is_removed_and_not_used(cache: Cache):
    half = cache.root / "thing" / ".half-x"
    half.mkdir(parents=True)
    (half / "file").write_text("half")
    folder = cache.entry("thing", "a", make)
    assert (folder / "file").read_text() == "built"
    assert not half.exists()


def test_two_that_want_the_same_thing_make_it_once(cache: Cache):
    made: list[Path] = []
    started, go_on = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        made.append(folder)
        started.set()
        assert go_on.wait(10)

    threads = [threading.Thread(target=cache.entry, args=("thing", "a", slow)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1


def test_old_entries_make_room(cache: Cache):
    keys = [str(number) for number in range(KEPT + 3)]
    for key in keys:
        cache.entry("thing", key, make)
    assert [key for key in keys if cache.has("thing", key)] == keys[-KEPT:]


def test_a_key_follows_content_names_and_permissions_and_nothing_else(tmp_path: Path):
    def key() -> str:
        return content_key("x", files=[tmp_path], base=tmp_path)

    file = tmp_path / "file"
    file.write_text("one")
    first = key()
    file.touch()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "file.pyc").write_bytes(b"compiled")
    assert key() == first
    seen = {first}
    file.write_text("two")
    seen.add(key())
    file.chmod(0o755)
    seen.add(key())
    file.rename(tmp_path / "other")
    seen.add(key())
    (tmp_path / "empty").touch()
    seen.add(key())
    assert len(seen) == 5


def test_a_key_does_not_depend_on_where_the_tree_lies(tmp_path: Path):
    keys = set()
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_text("same")
        keys.add(content_key(files=[folder / "file"], base=folder))
    assert len(keys) == 1
