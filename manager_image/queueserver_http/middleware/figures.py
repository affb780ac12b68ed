"""What the server counts about itself, in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Figures:
    """Counters of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "qs_http_requests_total",
            "Requests by route and status",
            ["method", "path", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "qs_http_request_duration_seconds",
            "Time from the head of a request to its reply",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._refused = Counter("qs_http_refused_credentials_total", "Wrong credentials", registry=self._registry)
        self._of_route: dict[tuple[str, str, int], Counter] = {}

    def request(self, verb: str, path: str, status: int, seconds: float) -> None:
        """Count a request by the path of its route, never by what the client sent."""
        key = (verb if path != "unknown" else "other", path, status)
        counter = self._of_route.get(key)
        if counter is None:
            counter = self._of_route[key] = self._requests.labels(*map(str, key))
        counter.inc()
        self._seconds.observe(seconds)

    def refused_credentials(self) -> None:
        """Count wrong credentials."""
        self._refused.inc()

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a value that is asked for when the figures are read."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def exposition(self) -> bytes:
        """All figures as text."""
        return generate_latest(self._registry)
