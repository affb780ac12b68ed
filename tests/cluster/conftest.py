"""What the tests in a real cluster share."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from cluster_of_tests import Kubectl, NoCluster, find_kubectl, image_names

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Kubectl:
    """kubectl for the cluster of `make cluster-up`, or the one that QUEUESERVER_TEST_KUBECONFIG names."""
    try:
        return find_kubectl()
    except NoCluster as failure:
        pytest.fail(str(failure), pytrace=False)


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """Names of the images of this tree: manager, operator, worker, client, beamline."""
    try:
        return image_names()
    except NoCluster as failure:
        pytest.fail(str(failure), pytrace=False)


@pytest.fixture
def namespace(cluster: Kubectl) -> Iterator[Kubectl]:
    """kubectl for a namespace of the test's own, in which pods can be created."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    cluster("create", "namespace", name)
    own = cluster.within(name)
    own.wait("serviceaccount", "default", "create")
    yield own
    cluster.delete("namespace", name)
