"""Settings that the operator writes for a manager in a pod."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from queueserver_manager.settings import Settings, SettingsError, check_startup, load_settings


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    public, secret = zmq.curve_keypair()
    files = {"private_key": secret, "public_key": public + b"\n"}
    for name, key in files.items():
        (tmp_path / name).write_bytes(key)
    return {name: tmp_path / name for name in files}


def config(keys: dict[str, Path], **more: str) -> str:
    """The section `kubernetes` as a manager's pod has it."""
    lines = {
        "queue_server": "q",
        "namespace": "ns",
        "link_addr": "'tcp://*:60635'",
        "health_addr": "0.0.0.0:8080",
        "opening_deadline": "540",
        "close_grace": "30",
        "destroy_grace": "5",
        "control_key_file": str(keys["private_key"]),
        "link_key_file": str(keys["private_key"]),
        "link_worker_public_key_file": str(keys["public_key"]),
        "token_dir": "/var/run/secrets/queueserver",
    } | more
    return "kubernetes:\n" + "".join(f"  {key}: {value}\n" for key, value in lines.items() if value)


def load(tmp_path: Path, text: str, *arguments: str) -> Settings:
    file = tmp_path / "config.yml"
    file.write_text(text)
    return load_settings([f"--config={file}", *arguments], {})[0]


def test_the_configuration_file_alone_suffices(tmp_path: Path, keys: dict[str, Path]) -> None:
    settings = load(tmp_path, config(keys, encrypted_info_addr="'tcp://*:60626'", clear_info="false"))
    assert settings.in_cluster
    assert (settings.queue_server, settings.namespace) == ("q", "ns")
    assert settings.health_addr == ("0.0.0.0", 8080)
    assert settings.zmq_private_key == keys["private_key"].read_text()
    assert settings.startup is None
    assert settings.user_group_permissions_path is None
    assert settings.existing_plans_and_devices_path is None
    assert settings.user_group_permissions_reload == "ON_CHANGE"
    assert (settings.encrypted_info_addr, settings.clear_info) == ("tcp://*:60626", False)
    assert settings.preload == ()
    assert check_startup(settings) == []


def test_records_and_permissions_may_be_settled_in_a_cluster_too(tmp_path: Path, keys: dict[str, Path]) -> None:
    text = "service:\n  history_limit: 0\n  audit_limit: 500\n  root_submits: false\n"
    text += "worker:\n  permitted_re_metadata_keys: [/scan_id, /sample/name]\n"
    settings = load(tmp_path, config(keys) + text)
    assert (settings.history_limit, settings.audit_limit, settings.root_submits) == (0, 500, False)
    assert settings.permitted_re_metadata_keys == ("/scan_id", "/sample/name")


def test_no_key_is_shown(tmp_path: Path, keys: dict[str, Path]) -> None:
    settings = load(tmp_path, config(keys))
    assert keys["private_key"].read_text() not in settings.describe()
    assert keys["private_key"].read_text() not in repr(settings)


def test_files_that_are_mounted_are_named(tmp_path: Path, keys: dict[str, Path]) -> None:
    mounted = tmp_path / "permissions.yaml"
    settings = load(
        tmp_path,
        f"startup:\n  user_group_permissions_path: {mounted}\n  existing_plans_and_devices_path: /mnt/lists.yaml\n"
        + config(keys),
    )
    assert settings.user_group_permissions_path == mounted
    assert settings.existing_plans_and_devices_path == Path("/mnt/lists.yaml")
    assert len(check_startup(settings)) == 2, "both are missing, which ends nothing: they may be mounted later"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"namespace": ""}, "'kubernetes/namespace' must be given as well"),
        ({"link_key_file": "", "namespace": ""}, "'kubernetes/namespace', 'kubernetes/link_key_file' must be given"),
        ({"queue_server": ""}, "has a meaning only in a cluster; give 'kubernetes/queue_server' as well"),
        ({"queue_server": "Upper"}, "must be a name of small letters, digits and -, at most 40 characters"),
        ({"queue_server": "q" * 41}, "at most 40 characters"),
        ({"health_addr": "'8080'"}, "must be HOST:PORT such as 0.0.0.0:8080"),
        ({"health_addr": "host:99999"}, "must be HOST:PORT"),
        ({"control_key_file": "/nowhere/key"}, "The key file '/nowhere/key' cannot be read: No such file or directory"),
        ({"clear_info": "false"}, "leaves no info address; give 'kubernetes/encrypted_info_addr' as well"),
        (
            {"control_key_file": "", "encrypted_info_addr": "'tcp://*:60626'"},
            "needs the private key of the control address",
        ),
        ({"unknown": "1"}, "unknown key 'unknown' in the section 'kubernetes'"),
    ],
)
def test_what_does_not_go_together_is_told(
    tmp_path: Path, keys: dict[str, Path], change: dict[str, str], told: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, config(keys, **change))
    assert told in str(caught.value)


def test_a_file_that_holds_no_key_is_told_without_its_content(tmp_path: Path, keys: dict[str, Path]) -> None:
    keys["private_key"].write_text("not a key but a secret")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, config(keys))
    assert "does not hold a CURVE key, which is 40 characters of Z85" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_key_cannot_be_given_twice(tmp_path: Path, keys: dict[str, Path]) -> None:
    key = keys["private_key"].read_text().replace("$", "$$")
    with pytest.raises(SettingsError, match="both give the private key of the control address"):
        load_settings(
            [f"--config={_written(tmp_path, config(keys))}"], {"QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER": key[:40]}
        )


def _written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.yml"
    file.write_text(text)
    return file


def test_startup_code_is_named_in_the_queue_server(tmp_path: Path, keys: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match=r"name it in spec\.environment\.profile of the QueueServer"):
        load(tmp_path, config(keys), "--startup-dir=/startup")


def test_without_a_queue_server_workers_are_local(tmp_path: Path) -> None:
    settings = load_settings(["--health-addr=127.0.0.1:0"], {})[0]
    assert not settings.in_cluster
    assert settings.health_addr == ("127.0.0.1", 0)
    assert settings.user_group_permissions_reload == "ON_STARTUP"
