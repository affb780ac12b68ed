"""A QueueServer in a cluster that many tests use: a new one for each of them would take most of their time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster_beamline import Beamline
from cluster_of_tests import Kubectl, new_namespace


class SharedBeamline:
    """A QueueServer that serves one test after another, until one has spoilt it."""

    def __init__(
        self, cluster: Kubectl, images: dict[str, str], spec: Mapping[str, Any], name: str = "beamline"
    ) -> None:
        """`spec`: what it is started with."""
        self._cluster = cluster
        self._images = images
        self._spec = spec
        self._name = name
        self._beamline: Beamline | None = None

    def take(self) -> Beamline:
        """It as if it were new; or a new one."""
        if self._beamline is not None and not self._beamline.reusable:
            self.discard()
        if self._beamline is None:
            self._beamline = Beamline(new_namespace(self._cluster), self._images, self._name)
            self._beamline.start(**self._spec)
        else:
            self._beamline.reset()
        return self._beamline

    def discard(self) -> None:
        """Nobody gets it again."""
        if self._beamline is not None:
            self._beamline.disconnect()
            self._cluster.delete("namespace", self._beamline.cluster.namespace)
            self._beamline = None

    def explain(self) -> str:
        """What there is to see of it."""
        return self._beamline.explain() if self._beamline is not None else "There is no QueueServer."
