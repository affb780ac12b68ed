from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from queueserver_common.link.messages import EnvironmentReady, ExitStatus, RunItem
from queueserver_worker.runtime.warm import Preloaded

Bench = Any


def wait_until_warm(worker: Any, marker: Path) -> None:
    """The interpreter has imported everything and waits for its configuration."""
    waits = Path(f"/proc/{worker.process.pid}/syscall")
    deadline = time.monotonic() + 20
    # The last module has left its mark, and the process is in system call 0 (read) of descriptor 0.
    while not (marker.exists() and waits.read_text().startswith("0 0x0 ")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def marked_module(directory: Path, name: str = "beamline_library") -> tuple[Path, Path]:
    """A module that says by a file that it was imported."""
    library, marker = directory / "library", directory / "imported"
    library.mkdir()
    file = library / f"{name}.py"
    file.write_text(f"from pathlib import Path\nVALUE = 'old'\nPath({str(marker)!r}).touch()\n")
    return file, marker


def age(*files: Path) -> None:
    """Files were written long before the interpreter started."""
    for file in files:
        os.utime(file, (time.time() - 100, time.time() - 100))


def test_a_warm_interpreter_becomes_a_worker_like_any_other(bench: Bench) -> None:
    file, marker = marked_module(bench.directory)
    age(file)
    profile = "\nimport beamline_library\nprint('value is', beamline_library.VALUE, repr(sys.stdin.read()))\n"
    manager, worker = bench.manager(), bench.worker(profile)
    worker.start(preload=("bluesky", "no_such_module_at_all", "beamline_library"), path=str(file.parent))
    wait_until_warm(worker, marker)
    assert worker.alive
    assert not manager.step(0.1)
    begin = time.time()
    worker.send_config()
    ready = manager.wait_event(EnvironmentReady)
    assert "noop" in json.loads(ready.plans)
    assert manager.hellos[0].started_at >= begin
    manager.wait(lambda: "value is old ''" in manager.console_text)
    item = bench.item("one_run")
    manager.tell(RunItem(item))
    assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED


def test_a_warm_interpreter_that_is_not_needed_ends(bench: Bench) -> None:
    worker = bench.worker().start(preload=("json",))
    worker.close_stdin()
    assert worker.wait_exit() == 0
    assert worker.output == ""


def test_a_warm_interpreter_with_stale_code_gives_way_to_a_cold_one(bench: Bench) -> None:
    file, marker = marked_module(bench.directory)
    age(file)
    manager, worker = bench.manager(), bench.worker()
    worker.start(preload=("beamline_library",), path=str(file.parent))
    wait_until_warm(worker, marker)
    file.write_text("VALUE = 'new'\n")
    worker.send_config()
    assert worker.wait_exit() == 75
    assert str(file) in worker.output
    assert not manager.hellos


def test_standard_input_is_let_go_only_when_the_configuration_is_taken(bench: Bench) -> None:
    """Whoever sent the configuration sees the end of the channel while the process lives, or only with its end."""
    for stale in (False, True):
        directory = bench.directory / str(stale)
        directory.mkdir()
        file, marker = marked_module(directory)
        age(file)
        worker = bench.worker()
        ours, theirs = socket.socketpair()
        with ours:
            worker.start(preload=("beamline_library",), path=str(file.parent), stdin=theirs.fileno())
            theirs.close()
            wait_until_warm(worker, marker)
            if stale:
                file.write_text("VALUE = 'new'\n")
            ours.sendall(worker.config.to_json().encode() + b"\n")
            assert ours.recv(1) == b""
            if stale:
                assert worker.wait_exit() == 75
            else:
                assert worker.alive


def test_a_module_that_cannot_be_imported_ahead_of_time_leaves_it_to_a_cold_interpreter(bench: Bench) -> None:
    file, _ = marked_module(bench.directory)
    file.write_text("import a_package_that_is_missing\n")
    worker = bench.worker().start(preload=("beamline_library",), path=str(file.parent))
    assert worker.wait_exit() == 75
    assert "a_package_that_is_missing" in worker.output


def test_every_kind_of_change_of_a_file_is_noticed(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(tmp_path)

    def preloaded(name: str) -> tuple[Preloaded, Path]:
        file = tmp_path / f"{name}.py"
        file.write_text("X = 1\n")
        age(file)
        modules = Preloaded(time.time_ns())
        modules._files = {}
        modules.load([name])
        modules._files = {path: state for path, state in modules._files.items() if path == str(file)}
        return modules, file

    modules, file = preloaded("unchanged_module")
    assert modules.changed_file() is None
    modules, file = preloaded("rewritten_module")
    file.write_text("X = 2\n")
    assert modules.changed_file() == str(file)
    modules, file = preloaded("removed_module")
    file.unlink()
    assert modules.changed_file() == str(file)
    modules, file = preloaded("replaced_module")
    other = tmp_path / "other"
    other.write_text("X = 3\n")
    times = file.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)
    assert modules.changed_file() == str(file)
    for name in ("unchanged_module", "rewritten_module", "removed_module", "replaced_module"):
        sys.modules.pop(name)


def test_a_file_that_was_written_while_it_was_imported_counts_as_changed(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    modules = Preloaded(time.time_ns())
    file = tmp_path / "just_written_module.py"
    file.write_text("X = 1\n")
    modules.load(["just_written_module"])
    sys.modules.pop("just_written_module")
    assert modules.changed_file() == str(file)
