"""One run: the sides, the effort, and what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.samples import Samples, Side
from benchmarks.servers import Server, Setup, running

BARE = Path(__file__).parent / "bare"
ROOT = Path(__file__).resolve().parent.parent
_BARE_TIMEOUT = 120.0


@dataclass(slots=True)
class Bench:
    """Handed to every section."""

    programs: Mapping[Side, Path]
    """Folders of the programs of the sides that are measured."""
    quick: bool = False
    samples: Samples = field(default_factory=Samples)

    @contextmanager
    def servers(self, setup: Setup | None = None, sides: Collection[Side] = tuple(Side)) -> Iterator[list[Server]]:
        """The sides, running at the same time; sections ask them in turn, so that a drift of the machine hits all."""
        with ExitStack() as stack:
            yield [
                stack.enter_context(running(side, programs, setup or Setup()))
                for side, programs in self.programs.items()
                if side in sides
            ]

    def rounds(self, normal: int, quick: int = 1) -> range:
        """So many repetitions."""
        return range(quick if self.quick else normal)

    def bare(self, program: str, *arguments: str) -> Any:
        """Run one of the programs in `bare/` and return the JSON value that it prints."""
        done = subprocess.run(
            [sys.executable, str(BARE / f"{program}.py"), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_BARE_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace')[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


def log(text: str) -> None:
    """Tell the progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
