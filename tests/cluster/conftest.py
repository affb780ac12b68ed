"""What the tests in a real cluster share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster_beamline import Beamline
from cluster_of_tests import Kubectl, NoCluster, find_kubectl, image_names, new_namespace
from helm_release import Releases, shared_operator
from shared_beamline import SharedBeamline


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
    own = new_namespace(cluster)
    yield own
    cluster.delete("namespace", own.namespace)


@pytest.fixture(scope="session")
def operator(cluster: Kubectl, images: dict[str, str]) -> Releases:
    """The one operator of the cluster, with the images of this tree."""
    try:
        return shared_operator(cluster, images)
    except NoCluster as failure:
        pytest.fail(str(failure), pytrace=False)


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
def own_beamline(new_beamline: Callable[..., Beamline]) -> Beamline:
    """A QueueServer that is ready, with a client beside it and no open environment; the test may spoil it."""
    return new_beamline().start()


@pytest.fixture(scope="module")
def beamline_spec() -> dict[str, Any]:
    """What the specification of the module's QueueServer has beyond the usual."""
    return {}


@pytest.fixture(scope="module")
def shared_beamline(
    cluster: Kubectl, images: dict[str, str], beamline_spec: dict[str, Any]
) -> Iterator[SharedBeamline]:
    """The QueueServer that the tests of a module use one after another."""
    shared = SharedBeamline(cluster, images, beamline_spec)
    yield shared
    shared.discard()


@pytest.fixture
def beamline(request: pytest.FixtureRequest, operator: Releases, shared_beamline: SharedBeamline) -> Iterator[Beamline]:
    """A QueueServer that is ready, with a client beside it, an empty queue and history and no open environment.

    Other tests of the module have used it, and others will; a test that spoils it takes `own_beamline`.
    """
    failed = request.session.testsfailed
    try:
        yield shared_beamline.take()
    except BaseException:
        failed = -1
        raise
    finally:
        if request.session.testsfailed != failed:
            print(shared_beamline.explain())
            shared_beamline.discard()


@pytest.fixture
def open_beamline(beamline: Beamline) -> Beamline:
    """The same with an open environment."""
    beamline.open_environment()
    return beamline
