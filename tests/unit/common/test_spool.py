from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queueserver_common.link.messages import ExitStatus, ItemEnded, TaskEnded
from queueserver_common.spool import (
    MAX_TERMINATION_MESSAGE,
    SpoolWriter,
    TerminationMessage,
    read_spool,
    read_termination_message,
    remove_spool,
    spool_path,
)

TEXT = st.text(max_size=50)
TIMES = st.floats(min_value=0, max_value=1e12)
ENDS = st.builds(
    ItemEnded,
    item_uid=TEXT,
    exit_status=st.sampled_from(ExitStatus),
    time_start=TIMES,
    time_stop=TIMES,
    run_uids=st.lists(TEXT, max_size=3).map(tuple),
    scan_ids=st.lists(st.integers(), max_size=3).map(tuple),
    msg=TEXT,
    traceback=TEXT,
    refused=st.booleans(),
)
TASK_ENDS = st.builds(
    TaskEnded,
    task_uid=TEXT,
    success=st.booleans(),
    time_start=TIMES,
    time_stop=TIMES,
    msg=TEXT,
    traceback=TEXT,
    return_value=st.sampled_from([b"null", b'{"a":[1]}']),
)
END = ItemEnded("item", ExitStatus.COMPLETED, 1.0, 2.0, ("run",), (7,))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(ENDS | TASK_ENDS, max_size=5))
def test_what_is_written_is_read_back_in_order(tmp_path: Path, ends: list[ItemEnded | TaskEnded]) -> None:
    remove_spool(str(tmp_path), "opening")
    writer = SpoolWriter(str(tmp_path), "opening")
    for end in ends:
        writer.write(end)
    writer.sync()
    assert read_spool(str(tmp_path), "opening") == ends


def test_an_opening_without_a_spool_has_no_ends(tmp_path: Path) -> None:
    assert read_spool(str(tmp_path), "opening") == []
    remove_spool(str(tmp_path), "opening")
    writer = SpoolWriter(str(tmp_path), "opening")
    writer.sync()
    writer.forget()
    writer.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_was_cut_off_hides_no_other(tmp_path: Path) -> None:
    SpoolWriter(str(tmp_path), "opening").write(END)
    path = spool_path(str(tmp_path), "opening")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        SpoolWriter(str(tmp_path), "opening").write(END)
        assert read_spool(str(tmp_path), "opening") == [END] * (2 if length >= len(whole) - 1 else 1)


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    SpoolWriter(str(tmp_path), "opening").write(END)
    with spool_path(str(tmp_path), "opening").open("ab") as file:
        file.write(b'[]\n{"item_uid": "x"}\n\xff\xfe\n' + b"[" * 100_000 + b"\nnull\n")
    SpoolWriter(str(tmp_path), "opening").write(END)
    assert read_spool(str(tmp_path), "opening") == [END, END]


def test_the_spool_is_private_and_can_be_emptied_and_removed(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "when needed"
    writer = SpoolWriter(str(directory), "opening")
    writer.write(END)
    path = spool_path(str(directory), "opening")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    writer.forget()
    assert read_spool(str(directory), "opening") == []
    writer.write(END)
    assert read_spool(str(directory), "opening") == [END]
    writer.remove()
    assert not path.exists()


def test_the_last_end_is_the_message_that_a_container_leaves_behind(tmp_path: Path) -> None:
    file = tmp_path / "termination-log"
    message = TerminationMessage(str(file))
    message.write(replace(END, item_uid="before"))
    message.write(END)
    assert read_termination_message(file.read_text()) == (END,)
    message.clear()
    assert read_termination_message(file.read_text()) == ()


@settings(max_examples=50)
@given(st.text(min_size=2000, max_size=2100), st.lists(st.text(min_size=36, max_size=36), max_size=150))
def test_a_long_end_is_shortened_to_what_the_kubelet_takes(text: str, runs: list[str]) -> None:
    with TemporaryDirectory() as directory:
        file = Path(directory) / "termination-log"
        long = replace(END, msg=text, traceback=text, run_uids=tuple(runs))
        TerminationMessage(str(file)).write(long)
        assert file.stat().st_size <= MAX_TERMINATION_MESSAGE
        (kept,) = read_termination_message(file.read_text())
        assert (kept.item_uid, kept.exit_status) == (END.item_uid, END.exit_status)
        assert text.startswith(kept.msg)
        assert len(kept.msg) >= 200


def test_the_end_of_a_log_is_no_end_of_an_item() -> None:
    assert read_termination_message("") == ()
    assert read_termination_message("Traceback (most recent call last):\n  ...\nMemoryError\n") == ()


def test_without_a_container_no_message_is_written(tmp_path: Path) -> None:
    message = TerminationMessage("")
    message.write(END)
    message.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_container_leaves_the_end_of_its_item_and_of_the_tasks_that_fit(tmp_path: Path) -> None:
    file = tmp_path / "message"
    message = TerminationMessage(str(file))
    small, large = TaskEnded("a", True, 1.0, 2.0), TaskEnded("b", True, 1.0, 2.0, return_value=b'"%b"' % (b"x" * 5000))
    for end in (small, large, END):
        message.write(end)
    assert file.stat().st_size <= MAX_TERMINATION_MESSAGE
    assert set(read_termination_message(file.read_text())) == {END, small}
    message.clear()
    assert file.read_text() == ""
