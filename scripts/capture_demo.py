"""Draw what `make demo` shows: `python scripts/capture_demo.py` writes docs/demo.svg.

The demonstration runs on a pseudo-terminal, so the picture is what a person sees: the screen while the last plan is
paused, and below it the history at the end. Needs the environment that `make demo` makes.
"""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "demo.svg"
COLUMNS, LINES = 118, 60
LOOK_AT = re.compile(r"manager .*paused")
"""What the screen shows at the moment of the first half of the picture."""

_CONTROL = re.compile(r"\x1b\[(?P<number>[\d;?]*)(?P<command>[A-Za-z])|[\r\n]")
_FONT_FROM_ELSEWHERE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


class Screen:
    """As much of a terminal as the demonstration needs: whole lines are written, erased and written again."""

    def __init__(self) -> None:
        self.lines = [""]
        self._row = 0

    def draw(self, written: str) -> Iterator[list[str]]:
        """Take what a program wrote; gives the screen each time that it is about to be drawn anew."""
        position, drawing = 0, True
        for control in _CONTROL.finditer(written):
            if control.start() > position:
                self.lines[self._row] += written[position : control.start()]
                drawing = True
            if control["command"] == "K" and drawing:
                yield list(self.lines)
                drawing = False
            self._obey(control)
            position = control.end()

    def _obey(self, control: re.Match[str]) -> None:
        if control[0] == "\n":
            self._row += 1
            self.lines += [""] * (self._row == len(self.lines))
        elif control["command"] == "A":
            self._row -= int(control["number"] or 1)
        elif control["command"] == "K":
            self.lines[self._row] = ""
        elif control["command"] == "m":
            self.lines[self._row] += control[0]


def run_demo() -> str:
    """What the demonstration writes to a terminal."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "queueserver_cli.demo"]
    environment = os.environ | {"TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while part := _read(ours):
        written += part
    os.close(ours)
    if process.wait() != 0:
        raise SystemExit(f"The demonstration failed:\n{written.decode()}")
    return written.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # nobody writes any more
        return b""


def picture(lines: list[str]) -> str:
    """The lines of a terminal as SVG, without fonts from elsewhere."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, legacy_windows=False)
        console.print(Text.from_ansi("\n".join(lines)), soft_wrap=True)
    return _FONT_FROM_ELSEWHERE.sub("", console.export_svg(title="make demo", unique_id="demo"))


def main() -> int:
    """Run the demonstration and write the picture."""
    screen = Screen()
    looks = [look for look in screen.draw(run_demo()) if LOOK_AT.search(Text.from_ansi("\n".join(look)).plain)]
    if not looks:
        raise SystemExit("The demonstration never showed a paused plan.")
    end = next(number for number, line in enumerate(screen.lines) if "History" in line)
    history = [line for line in screen.lines[end:] if line.strip()]
    next_steps = next(number for number, line in enumerate(history) if line.startswith("What to try next"))
    PICTURE.write_text(picture([*looks[len(looks) // 2], "", *history[:next_steps]]))
    print(f"written: {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
