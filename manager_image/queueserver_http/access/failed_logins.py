"""How often one address may fail to authenticate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from queueserver_http.exchange.errors import HttpError

_MOST_ADDRESSES = 10_000


class FailedLogins:
    """After `allowed` failures within `period` seconds an address is refused until the first of them is that old."""

    def __init__(self, allowed: int = 20, period: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = allowed
        self._period = period
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise 429 for an address that failed too often."""
        failures = self._failures.get(address)
        if not failures or len(failures) < self._allowed:
            return
        wait = failures[-self._allowed] + self._period - self._clock()
        if wait > 0:
            retry = {"retry-after": str(int(wait) + 1)}
            raise HttpError(429, "Too many failed attempts to authenticate. Try again later.", retry)

    def failed(self, address: str) -> None:
        """Count a failure."""
        failures = self._failures.setdefault(address, [])
        self._failures.move_to_end(address)
        failures.append(self._clock())
        del failures[: -self._allowed]
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)
