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


def new_namespace(cluster: Kubectl) -> Kubectl:
    """kubectl for a new namespace, in which pods can be created."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    cluster("create", "namespace", name)
    own = cluster.within(name)
    own.wait("serviceaccount", "default", "create")
    return own


@pytest.fixture
def namespace(cluster: Kubectl) -> Iterator[Kubectl]:
    """kubectl for a namespace of the test's own, in which pods can be created."""
    own = new_namespace(cluster)
    yield own
    cluster.delete("namespace", own.namespace)


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
def own_beamline(new_beamline: Callable[..., Beamline]) -> Beamline:
    """A QueueServer that is ready, with a client beside it and no open environment; the test may spoil it."""
    return new_beamline().start()


class SharedBeamline:
    """A QueueServer that serves one test after another, until one has spoilt it."""

    def __init__(self, cluster: Kubectl, images: dict[str, str]) -> None:
        self._cluster = cluster
        self._images = images
        self._beamline: Beamline | None = None

    def take(self) -> Beamline:
        """It as if it were new; or a new one."""
        if self._beamline is not None and not self._beamline.reusable:
            self.discard()
        if self._beamline is None:
            self._beamline = Beamline(new_namespace(self._cluster), self._images)
            self._beamline.start()
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


@pytest.fixture(scope="module")
def shared_beamline(cluster: Kubectl, images: dict[str, str]) -> Iterator[SharedBeamline]:
    """The QueueServer that the tests of a module use one after another."""
    shared = SharedBeamline(cluster, images)
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
