"""What the settings for a cluster ask of each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from queueserver_common.link.curve_key import KeyFileError, read_key
from queueserver_manager.settings.declaration import Given
from queueserver_manager.settings.errors import SettingsError

_NEEDED = ("namespace", "link_key_file", "link_worker_public_key_file")
_ONLY_IN_CLUSTER = ("namespace", "link_addr", "opening_deadline", "close_grace", *_NEEDED, "token_dir")


def check_cluster(given: Mapping[str, Given]) -> None:
    """Refuse settings that do not go together; raises `SettingsError`."""
    if "control_key_file" in given and "zmq_private_key" in given:
        raise SettingsError(
            f"{given['control_key_file'].origin} and {given['zmq_private_key'].origin} both give the private key of "
            "the control address; leave one of them out."
        )
    encrypted = "control_key_file" in given or "zmq_private_key" in given
    if "encrypted_info_addr" in given and not encrypted:
        raise SettingsError(
            f"{given['encrypted_info_addr'].origin} needs the private key of the control address; "
            "give it in QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER or as 'kubernetes/control_key_file'."
        )
    if "clear_info" in given and not given["clear_info"].value and "encrypted_info_addr" not in given:
        raise SettingsError(
            f"{given['clear_info'].origin} leaves no info address; give 'kubernetes/encrypted_info_addr' as well."
        )
    if "queue_server" not in given:
        if useless := next((given[name] for name in _ONLY_IN_CLUSTER if name in given), None):
            raise SettingsError(
                f"{useless.origin} has a meaning only in a cluster; give 'kubernetes/queue_server' as well."
            )
        return
    if missing := [name for name in _NEEDED if name not in given]:
        raise SettingsError(
            f"{given['queue_server'].origin} makes the workers pods; for that "
            f"{', '.join(repr('kubernetes/' + name) for name in missing)} must be given as well."
        )


def read_control_key(file: Given) -> str:
    """The private key of the control address; raises `SettingsError`."""
    assert isinstance(file.value, Path)
    try:
        return read_key(file.value).decode("ascii")
    except KeyFileError as error:
        raise SettingsError(f"{file.origin}: {error}") from None
