from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queueserver_cli.qserver import main

PREFIX = "ERROR:bluesky_queueserver.manager.qserver_cli:"
NOBODY = "tcp://127.0.0.1:1"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", captured.out), captured.err


@pytest.mark.row("cli", "the line Arguments and the reply below its time")
def test_a_reply_is_printed_below_the_arguments(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "queue", "add", "plan", "-1", '{"name": "count"}')
    assert (code, err) == (0, "")
    assert out == (
        "Arguments: ['queue', 'add', 'plan', '-1', '{\"name\": \"count\"}']\n"
        "HH:MM:SS - MESSAGE: \n"
        "{'success': True, 'msg': ''}\n"
    )
    assert manager.requests[0]["params"]["pos"] == -1


def test_a_refused_request_is_printed_and_exits_with_2(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    manager.answer = lambda request: {"success": False, "msg": "no"}
    assert run(capsys, "queue", "start") == (
        2,
        "Arguments: ['queue', 'start']\nHH:MM:SS - MESSAGE: \n{'success': False, 'msg': 'no'}\n",
        "",
    )


@pytest.mark.row("cli", "exit code 0 without success")
def test_a_status_has_no_success_and_exits_with_0(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    manager.answer = lambda request: {"msg": "RE Manager v1", "manager_state": "idle"}
    assert run(capsys, "status")[0] == 0


@pytest.mark.row("cli", "bad command")
def test_a_bad_command_is_told_on_stderr_and_exits_with_1(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "queue", "bogus")
    assert (code, out) == (1, "Arguments: ['queue', 'bogus']\n")
    assert err.startswith(f"{PREFIX}Invalid command or parameters: Request 'queue bogus' is not supported")
    assert err.endswith(".\n")
    assert manager.requests == []


@pytest.mark.row("cli", "no answer")
def test_no_answer_exits_with_3_after_two_seconds_with_advice_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    code, out, err = run(capsys, "ping", "-a", NOBODY)
    assert 1.9 < time.monotonic() - start < 20
    assert code == 3
    assert out == "Arguments: ['ping']\nHH:MM:SS - ERROR: ZMQ communication error: timeout occurred\n"
    assert "start-re-manager" in err
    assert NOBODY in err


def test_an_impossible_address_exits_with_3_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "ping", "-a", "foo")
    assert code == 3
    assert "HH:MM:SS - ERROR: ZMQ communication error: cannot connect to 'foo'" in out


@pytest.mark.row("cli", "exit code 2 of a wrong command line")
@pytest.mark.parametrize("words", [[], ["-c", "ping", "status"], ["ping", "-p", "x"], ["ping", "--nonsense"]])
def test_wrong_options_exit_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2


@pytest.mark.row("cli", "public key from the environment")
def test_a_bad_public_key_exits_with_1(
    manager: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSERVER_ZMQ_PUBLIC_KEY", "abc")
    code, _, err = run(capsys, "ping")
    assert code == 1
    assert "Invalid key 'abc': the key must be a 40 byte z85 encoded string" in err


def test_an_unknown_encoding_exits_with_1(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "ping", "--zmq-encoding", "pickle")
    assert code == 1
    assert "'json', 'msgpack'" in err


@pytest.mark.row("cli", "options")
def test_options_may_stand_anywhere(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "lock", "-k", "secret", "environment", "a note")[0] == 0
    assert run(capsys, "-k", "secret", "queue", "start")[0] == 0
    assert [request["params"].get("lock_key") for request in manager.requests] == ["secret", "secret"]
    assert manager.requests[0]["params"]["note"] == "a note"


@pytest.mark.row("cli", "--address")
def test_the_old_spelling_of_the_address_still_works(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "ping", "--address", manager.address)
    assert code == 0
    assert "--zmq-control-addr" in err


def test_permissions_are_read_from_a_yaml_file(
    manager: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "permissions.yaml"
    file.write_text("user_groups:\n  root:\n    allowed_plans: [null]\n")
    assert run(capsys, "permissions", "set", str(file))[0] == 0
    assert manager.requests[0]["params"] == {
        "user_group_permissions": {"user_groups": {"root": {"allowed_plans": [None]}}}
    }


def test_a_script_is_sent_as_its_text(manager: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text("x = 'ä'\n", encoding="utf-8")
    assert run(capsys, "script", "upload", str(file))[0] == 0
    assert manager.requests[0]["params"]["script"] == "x = 'ä'\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"a: [1\n b: {", "not valid YAML"), (b"\xff\xfe", "codec can't decode")],
)
def test_a_file_that_cannot_be_read_exits_with_1_and_one_line(
    manager: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "permissions.yaml"
    if content is not None:
        file.write_bytes(content)
    code, _, err = run(capsys, "permissions", "set", str(file))
    assert code == 1
    assert said in err
    assert err.count("\n") == 1
    assert manager.requests == []


def test_yaml_files_cannot_name_python_objects(
    manager: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "permissions.yaml"
    file.write_text("!!python/object/apply:os.getcwd []\n")
    assert run(capsys, "permissions", "set", str(file))[0] == 1


@pytest.mark.row("cli", "-h")
def test_help_shows_examples_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert '\'{"name": "count", "args": [["det1", "det2"]], "kwargs": {"num": 10, "delay": 1}}\'' in out
    assert "qserver queue item move <front | back | INDEX | UID>" in out
    assert "3 no answer" in out


@pytest.mark.row("cli", "qserver monitor")
def test_monitor_pings_every_second_until_ctrl_c_and_exits_with_0(manager: Any) -> None:
    manager.answer = lambda request: {"msg": "RE Manager v1"}
    program = subprocess.Popen(
        [sys.executable, "-m", "queueserver_cli.qserver", "monitor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert program.stdout is not None
    start = time.monotonic()
    head = [program.stdout.readline() for _ in range(6)]
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=20)
    assert program.returncode == 0
    assert head[:2] == ["Arguments: ['monitor']\n", "Running QServer monitor. Press Ctrl-C to exit ...\n"]
    assert [line[8:] for line in head[2::2]] == [" - MESSAGE: \n"] * 2
    assert head[3::2] == ["{'msg': 'RE Manager v1'}\n"] * 2
    assert time.monotonic() - start > 0.9
    assert "The program was manually stopped." in out
    assert err == ""


def on_a_terminal(words: list[str], until: Callable[[str], bool] | None = None) -> tuple[int, str]:
    """Exit code and output of qserver on a terminal; Ctrl-C once `until` is true of the output."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "queueserver_cli.qserver", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
    )
    os.close(theirs)
    output = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        output += piece
        if until is not None and until(output.decode(errors="replace")):
            until = None
            program.send_signal(signal.SIGINT)
    os.close(ours)
    return program.wait(20), output.decode()


ITEM = {
    "name": "count",
    "args": [["det1"]],
    "kwargs": {"num": 3},
    "item_uid": "uid-1",
    "user": "me",
    "item_type": "plan",
}


def test_a_terminal_gets_a_coloured_table(manager: Any) -> None:
    manager.answer = lambda request: {
        "success": True,
        "msg": "",
        "items": [ITEM],
        "running_item": {},
        "plan_queue_uid": "queue-uid",
    }
    code, out = on_a_terminal(["queue", "get"])
    assert code == 0
    assert "\x1b[" in out
    assert "count(['det1'], num=3)" in out
    assert "uid-1" in out
    assert "Arguments:" not in out


def test_a_terminal_gets_a_sentence_in_red_for_a_refusal(manager: Any) -> None:
    manager.answer = lambda request: {"success": False, "msg": "RE Manager is busy."}
    code, out = on_a_terminal(["queue", "start"])
    assert code == 2
    assert "\x1b[1;31mqueue_start was refused: " in out
    assert "RE Manager is busy." in out


def test_monitor_on_a_terminal_shows_the_status_in_place_until_ctrl_c(manager: Any) -> None:
    manager.answer = lambda request: {"msg": "RE Manager v1", "manager_state": "idle"}
    code, out = on_a_terminal(["monitor"], until=lambda text: text.count("manager_state") >= 2)
    assert code == 0
    assert out.rstrip().endswith("The program was manually stopped.")


def test_a_reader_that_leaves_early_gets_no_traceback(manager: Any) -> None:
    manager.answer = lambda request: {"success": True, "msg": "", "items": [["x" * 1000] * 10] * 10}
    program = subprocess.Popen(
        [sys.executable, "-m", "queueserver_cli.qserver", "queue", "get"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    assert program.stdout is not None
    program.stdout.close()
    assert program.stderr is not None
    assert program.stderr.read() == b""
    program.stderr.close()
    assert program.wait(20) == 4


def test_nothing_heavy_is_imported_where_stdout_is_not_a_terminal(manager: Any) -> None:
    code = (
        "import sys; from queueserver_cli.qserver import main; main(['ping']); "
        "print([name for name in ('rich', 'yaml', 'msgpack', 'asyncio', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
