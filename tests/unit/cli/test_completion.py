"""Completion of `qserver` commands, in a real bash."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from queueserver_cli import completion, qserver
from queueserver_cli.grammar import COMMANDS

BASH = shutil.which("bash") or "bash"


def complete(directory: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    script = directory / "completion.bash"
    script.write_text(completion.script("bash"))
    program = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _qserver; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    printed = subprocess.run(
        [BASH, "--norc", "-c", program, "bash", str(script), "qserver", *words],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stderr == ""
    return printed.stdout.split()


@pytest.mark.row("cli", "completion in a shell (addition)")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["en"], ["environment"]),
        (["environment", ""], ["open", "close", "destroy", "update"]),
        (["environment", "update", ""], ["background"]),
        (["-a", "tcp://host:1", "-k", "queue", "re", "pa"], ["pause"]),
        (["queue", "add", "plan", "b"], ["back", "before"]),
        (["queue", "add", "instruction", "queue"], ["queue-stop"]),
        (["queue", "stop", ""], ["cancel"]),
        (["manager", "stop", "safe", ""], ["on", "off"]),
        (["history", "get", "plan", "count", "ne"], ["newest-first"]),
        (["function", "execute", '{"name": "f"}', ""], ["background"]),
        (["status", ""], []),
        (["no", "such", ""], []),
        (["status", "--zmq"], ["--zmq-control-addr", "--zmq-encoding"]),
        (["-k", ""], []),
    ],
)
def test_bash_offers_what_may_follow(tmp_path: Path, words: list[str], offered: list[str]) -> None:
    assert complete(tmp_path, *words) == offered


def test_bash_offers_files_where_one_is_expected(tmp_path: Path) -> None:
    (tmp_path / "scan.py").touch()
    assert complete(tmp_path, "script", "upload", "sc") == ["scan.py"]
    assert complete(tmp_path, "script", "upload", "scan.py", "up") == ["update-re"]


def test_every_command_can_be_completed_word_by_word(tmp_path: Path) -> None:
    script = completion.script("bash")
    for command in COMMANDS:
        words = command.words.split()
        for count, word in enumerate(words):
            (line,) = [line for line in script.splitlines() if line.startswith(f'        "{" ".join(words[:count])}")')]
            assert word in line.partition('words="')[2].partition('"')[0].split()


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_program_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        qserver.main(["--completion", shell])
    assert end.value.code == 0
    assert capsys.readouterr().out == completion.script(shell)


def test_the_script_for_zsh_loads_what_bash_has() -> None:
    assert completion.script("zsh").startswith("#compdef qserver\nautoload -U +X bashcompinit && bashcompinit\n")
    assert completion.script("zsh").endswith(completion.script("bash"))
