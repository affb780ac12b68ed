"""How the demonstration shows its progress: a display in place on a terminal, lines of text anywhere else."""

from __future__ import annotations

import time
from typing import Protocol, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from queueserver_cli.demo.progress import Progress, Step, sparkline
from queueserver_cli.tables import call_text, exit_status_text

_BAR_WIDTH = 20
_PEAK_WIDTH = 32
_LINES_PER_PLAN = 5
"""About how many lines the plain view writes on the points of one plan."""


class View(Protocol):
    """Shows what is said and how the plans get on."""

    def say(self, text: str) -> None:
        """Show a sentence of the story."""

    def update(self) -> None:
        """Show what is new in the progress."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def view_for(console: Console, progress: Progress) -> View:
    """The view that suits where the output goes."""
    return LiveView(console, progress) if console.is_terminal else PlainView(console, progress)


class PlainView:
    """One line for each event, with the seconds since the start."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._start = time.monotonic()
        self._states: dict[str, str] = {}
        self._points: dict[str, int] = {}

    def say(self, text: str) -> None:
        """Show a sentence of the story."""
        self._line(text)

    def update(self) -> None:
        """Write a line for each plan that changed its state or took enough points since the last line."""
        steps = self._progress.steps
        for number, step in enumerate(steps, start=1):
            if not step.uid:
                continue
            self._report_points(step)
            if self._states.get(step.uid, "waiting") != step.state:
                self._states[step.uid] = step.state
                self._line(f"  {number} of {len(steps)}  {call_text(step.item)}: {_state_text(self._progress, step)}")

    def _report_points(self, step: Step) -> None:
        taken, told = len(self._progress.readings(step)), self._points.get(step.uid, 0)
        if taken - told >= max(1, (step.points or _LINES_PER_PLAN) // _LINES_PER_PLAN):
            self._points[step.uid] = taken
            self._line(f"      {step.item['name']}: {_points_text(step, taken)}")

    def _line(self, text: str) -> None:
        elapsed = time.monotonic() - self._start
        self._console.print(Text(f"[{elapsed:5.1f} s] {text}"), soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class LiveView:
    """A table of the plans that changes in place, the sentences above it, the worker's last lines below it."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._spinner = Spinner("dots", style="yellow")
        self._live = Live(console=console, refresh_per_second=12, transient=True, get_renderable=self._render)

    def say(self, text: str) -> None:
        """Show a sentence of the story."""
        self._live.console.print(Text.assemble(("• ", "cyan"), text))

    def update(self) -> None:
        """Nothing to do: the display is drawn many times a second."""

    def _render(self) -> RenderableType:
        progress = self._progress
        parts: list[RenderableType] = [self._headline()]
        if any(step.uid for step in progress.steps):
            parts.append(self._plans())
        console = Text("\n".join(progress.console), style="dim", no_wrap=True, overflow="ellipsis")
        parts.append(Panel(console, title="console output", title_align="left", border_style="dim"))
        return Group(*parts)

    def _headline(self) -> RenderableType:
        status = self._progress.status
        line = Table.grid(padding=(0, 1))
        if not status:
            line.add_row(self._spinner, "starting the manager")
            return line
        busy = status["manager_state"] != "idle"
        line.add_row(
            self._spinner if busy else Text("●", style="green"),
            Text.assemble("manager ", (status["manager_state"], "bold")),
            Text.assemble("· environment ", (status["worker_environment_state"], "bold")),
            Text.assemble("· queue ", (str(status["items_in_queue"]), "bold"), " waiting"),
            Text.assemble("· history ", (str(status["items_in_history"]), "bold")),
        )
        return line

    def _plans(self) -> Table:
        table = Table("#", "plan", "", "state", "points", "", box=box.SIMPLE_HEAD, header_style="bold cyan")
        for number, step in enumerate(self._progress.steps, start=1):
            readings = self._progress.readings(step)
            table.add_row(
                str(number),
                Text(call_text(step.item), style="bold" if step is self._progress.current else ""),
                Text(step.purpose, style="dim"),
                self._state(step),
                _points_text(step, len(readings)) if readings else "",
                _picture(step, readings),
            )
        return table

    def _state(self, step: Step) -> RenderableType:
        if step.state == "running":
            return Spinner("dots", text="running", style="yellow")
        if step.state == "paused":
            return Text("paused", style="bold yellow")
        return Text("waiting", style="dim") if step.state == "waiting" else exit_status_text(step.state)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)


def _picture(step: Step, readings: list[float]) -> RenderableType:
    if step.points and step.points > _PEAK_WIDTH:
        return Text(sparkline(readings, _PEAK_WIDTH), style="green", no_wrap=True)
    if step.points:
        return ProgressBar(total=step.points, completed=len(readings), width=_BAR_WIDTH)
    return Text("")


def _state_text(progress: Progress, step: Step) -> str:
    if step.state == "running":
        return f"running ({progress.waiting} waiting)"
    if step.state == "paused":
        return "paused"
    return f"{step.state} in {step.seconds:.1f} s"


def _points_text(step: Step, taken: int) -> str:
    return f"{taken} of {step.points} points" if step.points else f"{taken} points"
