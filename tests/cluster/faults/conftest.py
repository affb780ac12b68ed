"""What the fault tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cluster_beamline import Beamline
from cluster_node import NodeShell, node_shell
from faults_of_cluster import OperatorSwitch
from helm_release import Releases


@pytest.fixture
def shell_beside(images: dict[str, str]) -> Callable[[Beamline], NodeShell]:
    """Starts a root shell on the node of a QueueServer's manager."""

    def start(beamline: Beamline) -> NodeShell:
        found = beamline.cluster.get("pod", beamline.manager_pod)
        assert found, f"there is no pod {beamline.manager_pod}"
        return node_shell(beamline.cluster, images["worker"], found["spec"]["nodeName"])

    return start


@pytest.fixture
def operator_switch(operator: Releases) -> Iterator[OperatorSwitch]:
    """The operator is there again after the test, whatever happened in it."""
    switch = OperatorSwitch(operator)
    yield switch
    switch.come_back()
