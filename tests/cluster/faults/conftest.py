"""What the fault tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cluster_node import NodeShell, node_shell
from cluster_of_tests import Kubectl
from faults_of_cluster import OperatorSwitch
from helm_release import Releases


@pytest.fixture
def shell_beside(namespace: Kubectl, images: dict[str, str]) -> Callable[[str], NodeShell]:
    """Starts a root shell on the node of a pod of the namespace."""

    def start(pod: str) -> NodeShell:
        found = namespace.get("pod", pod)
        assert found, f"there is no pod {pod}"
        return node_shell(namespace, images["worker"], found["spec"]["nodeName"])

    return start


@pytest.fixture
def operator_switch(operator: Releases) -> Iterator[OperatorSwitch]:
    """The operator is there again after the test, whatever happened in it."""
    switch = OperatorSwitch(operator)
    yield switch
    switch.come_back()
