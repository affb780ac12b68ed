# Plans: those of bluesky, and some that show what the queue server can do with annotations, nested runs and progress.

from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans
import bluesky.preprocessors as bpp
from bluesky.plan_stubs import mv, mvr, null  # noqa: F401 - clients run them
from bluesky.plans import count
from bluesky.utils import ProgressBar

from queueserver_common.decorator import parameter_annotation_decorator

# Releases of bluesky differ in the plans they have.
plan_names = """
    adaptive_scan fly grid_scan inner_product_scan list_grid_scan list_scan log_scan ramp_plan rel_adaptive_scan
    rel_grid_scan rel_list_grid_scan rel_list_scan rel_log_scan rel_scan rel_spiral rel_spiral_fermat rel_spiral_square
    relative_inner_product_scan scan scan_nd spiral spiral_fermat spiral_square tune_centroid tweak x2x_scan
"""
globals().update({name: getattr(bluesky.plans, name) for name in plan_names.split() if hasattr(bluesky.plans, name)})


def marked_up_count(detectors: list[Any], num: int = 1, delay: float | None = None, md: dict[str, Any] | None = None):
    return (yield from count(detectors, num=num, delay=delay, md=md))


@parameter_annotation_decorator(
    {
        "description": "Move motors into position, then count.",
        "parameters": {
            "motors": {
                "description": "Motors that are moved, all at the same time, before the measurement.",
                "annotation": "typing.List[Motors]",
                "devices": {"Motors": ["motor1", "motor2"]},
            },
            "detectors": {
                "description": "Detectors that are read.",
                "annotation": "typing.List[Detectors]",
                "devices": {"Detectors": ["det1", "det2", "det3"]},
                "default": ["det1", "det2"],
            },
            "positions": {
                "description": "One position for each of the motors.",
                "annotation": "typing.List[float]",
                "min": -10,
                "max": 10,
                "step": 0.01,
            },
        },
    }
)
def move_then_count(motors, detectors=None, positions=None):
    for name, value in (("motors", motors), ("detectors", detectors), ("positions", positions)):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"'{name}' must be a list, not {value!r}")
    if len(motors) != len(positions):
        raise TypeError(f"there must be one position for each motor: {len(motors)} motors, {len(positions)} positions")
    yield from mv(*[part for pair in zip(motors, positions, strict=True) for part in pair])
    yield from count(detectors)


@bpp.set_run_key_decorator("run_2")
@bpp.run_decorator(md={})
def _sim_plan_inner(npts: int, delay: float = 1.0):
    for j in range(npts):
        yield from mv(motor1, j * 0.1 + 1, motor2, j * 0.2 - 2)
        yield from bps.trigger_and_read([motor1, motor2, det2])
        yield from bps.sleep(delay)


@bpp.set_run_key_decorator("run_1")
@bpp.run_decorator(md={})
def sim_multirun_plan_nested(npts: int, delay: float = 1.0):
    """
    Two runs, one inside the other: half of the outer run, the whole inner run, the rest of the outer run.

    Parameters
    ----------
    npts : int
        Number of measurements in the outer run; the inner run has one more.
    delay : float
        Seconds to wait after each measurement.
    """
    half = npts // 2
    for j in range(half):
        yield from mv(motor, j * 0.2)
        yield from bps.trigger_and_read([motor, det])
        yield from bps.sleep(delay)
    yield from _sim_plan_inner(npts + 1, delay)
    for j in range(half, npts):
        yield from mv(motor, j * 0.2)
        yield from bps.trigger_and_read([motor, det])
        yield from bps.sleep(delay)


@parameter_annotation_decorator(
    {
        "parameters": {
            "detectors": {
                "annotation": "typing.List[DetList]",
                "devices": {"DetList": ["det", "det1", "det2", "det3", ":+^sim_bundle:?.*$"]},
            }
        }
    }
)
def count_bundle_test(detectors, num=1, delay=None, *, per_shot=None, md=None):
    yield from count(detectors, num=num, delay=delay, per_shot=per_shot, md=md)


class StepStatus:
    """Something under way that reports its steps to a progress bar."""

    def __init__(self, name):
        self.name = name
        self.done = False
        self.watchers = []

    def watch(self, watcher):
        self.watchers.append(watcher)

    def report(self, step, steps):
        self.done = step >= steps
        for watcher in self.watchers:
            watcher(name=self.name, current=step, initial=0, target=steps, unit="steps", precision=0)


def plan_test_progress_bars(n_progress_bars: int = 1):
    """
    Drive progress bars to their ends.

    Parameters
    ----------
    n_progress_bars : int
        How many bars are shown at the same time.
    """
    steps = 10
    statuses = [StepStatus(f"bar {number}") for number in range(1, n_progress_bars + 1)]
    print(f"plan_test_progress_bars: {n_progress_bars} started")
    progress_bar = ProgressBar(statuses)
    for step in range(1, steps + 1):
        yield from bps.sleep(0.5)
        for status in statuses:
            status.report(step, steps)
    progress_bar.clear()
    print("plan_test_progress_bars: finished")
