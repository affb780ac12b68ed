from __future__ import annotations

import pytest

from queueserver_operator.configuration import PREFIX, Configuration, ConfigurationError


def configured(**variables: str) -> Configuration:
    given = {"MANAGER_IMAGE": "manager:1", "WORKER_IMAGE": "worker:1", **variables}
    return Configuration.from_environment({PREFIX + name: value for name, value in given.items()})


def test_without_more_than_images_it_serves_all_namespaces() -> None:
    configuration = configured()
    assert configuration.namespaces == ()
    assert configuration.scopes == ("",)
    assert configuration.lock_scopes == ("",)
    assert configuration.options.manager_image == "manager:1"
    assert configuration.options.worker_image == "worker:1"
    assert configuration.options.identity == "queueserver-operator"
    assert not configuration.options.allow_host_network


def test_namespaces_are_separated_by_commas() -> None:
    configuration = configured(NAMESPACES="bl-1, bl-2,bl-1", LOCK_NAMESPACE="locks", IMAGE_PULL_SECRETS="a,b")
    assert configuration.namespaces == ("bl-1", "bl-2")
    assert configuration.scopes == ("bl-1", "bl-2")
    assert configuration.lock_scopes == ("locks",)
    assert configuration.options.image_pull_secrets == ("a", "b")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("MANAGER_IMAGE", "", "QUEUESERVER_OPERATOR_MANAGER_IMAGE is not set; it names the image of manager pods."),
        ("NAMESPACES", "Beamline 1", "'Beamline 1', which cannot be the name of a namespace"),
        ("LOCK_NAMESPACE", "a,b", "it must be the name of one namespace"),
        ("ALLOW_HOST_NETWORK", "perhaps", "'perhaps'; it must be true or false"),
        ("LOG_LEVEL", "LOUD", "it must be one of DEBUG, INFO, WARNING, ERROR"),
        ("HEALTH_PORT", "http", "it must be a TCP port number"),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused_with_a_sentence(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        configured(**{name: value})


@pytest.mark.parametrize(("value", "meaning"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_a_switch_is_read(value: str, meaning: bool) -> None:
    assert configured(ALLOW_HOST_NETWORK=value).options.allow_host_network is meaning
