"""What the tests in a real cluster share."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

from cluster_beamline import Beamline
from cluster_of_tests import Kubectl, NoCluster, find_kubectl, image_names
from helm_charts import find_helm
from helm_release import Releases

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


@pytest.fixture(scope="session")
def operator(cluster: Kubectl, images: dict[str, str]) -> Releases:
    """The one operator of the cluster, with the images of this tree."""
    program = find_helm()
    if program is None:
        pytest.fail("helm 4 is needed: install it, name it in HELM, or run `make cluster-up`.")
    releases = Releases(cluster, images, program)
    releases.install_operator()
    return releases


@pytest.fixture
def new_beamline(
    request: pytest.FixtureRequest, operator: Releases, namespace: Kubectl, images: dict[str, str]
) -> Iterator[Callable[..., Beamline]]:
    """Makes QueueServers that are not applied yet, by their names, in the test's namespace."""
    made: list[Beamline] = []

    def make(name: str = "beamline") -> Beamline:
        made.append(Beamline(namespace, images, name))
        return made[-1]

    yield make
    for beamline in made:
        if request.session.testsfailed:
            print(beamline.explain())
        beamline.disconnect()


@pytest.fixture
def beamline(new_beamline: Callable[..., Beamline]) -> Beamline:
    """A QueueServer that is ready, with a client beside it and no open environment."""
    return new_beamline().start()


@pytest.fixture
def open_beamline(beamline: Beamline) -> Beamline:
    """The same with an open environment."""
    beamline.open_environment()
    return beamline
