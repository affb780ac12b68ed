"""Where a setting may be given, and what wins (cli 2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from queueserver_common.link.worker_config import WorkerConfig
from queueserver_manager.settings import Settings, SettingsError, load_settings
from queueserver_manager.settings.command_line import build_parser
from queueserver_manager.settings.saving import save_settings
from queueserver_manager.settings.table import SETTINGS


def load(*arguments: str, environ: Mapping[str, str] | None = None) -> Settings:
    return load_settings(arguments, environ or {})[0]


def config(folder: Path, text: str) -> str:
    path = folder / "config.yml"
    path.write_text(text)
    return str(path)


@pytest.mark.row("zmq-api", "sockets and their default addresses")
@pytest.mark.row("cli", "defaults")
def test_defaults_are_those_of_the_contract() -> None:
    settings = load()
    assert settings.zmq_control_addr == "tcp://*:60615"
    assert settings.zmq_info_addr == "tcp://*:60625"
    assert settings.zmq_encoding == "json"
    assert settings.zmq_publish_console is False
    assert settings.redis_addr is None
    assert settings.redis_name_prefix == "qs_default"
    assert settings.update_existing_plans_and_devices == "ENVIRONMENT_OPEN"
    assert settings.user_group_permissions_reload == "ON_STARTUP"
    assert settings.permitted_re_metadata_keys == ("/",)
    assert settings.log_level == logging.INFO


@pytest.mark.row("zmq-api", "environment variables of the server")
@pytest.mark.row("cli", "precedence of settings")
def test_command_line_wins_over_config_over_environment_over_default(tmp_path: Path) -> None:
    environ = {"QSERVER_ZMQ_CONTROL_ADDRESS_FOR_SERVER": "tcp://*:1001", "QSERVER_DATA_DIR": "/environment"}
    path = config(tmp_path, "network: {zmq_control_addr: 'tcp://*:1002'}\n")
    assert load(environ=environ).zmq_control_addr == "tcp://*:1001"
    assert load("--config", path, environ=environ).zmq_control_addr == "tcp://*:1002"
    both = load("--config", path, "--zmq-control-addr", "tcp://*:1003", environ=environ)
    assert both.zmq_control_addr == "tcp://*:1003"
    assert both.data_dir == Path("/environment")


def test_the_config_path_comes_from_the_option_or_else_from_the_environment(tmp_path: Path) -> None:
    named = config(tmp_path, "network: {redis_name_prefix: option}\n")
    other = tmp_path / "other.yml"
    other.write_text("network: {redis_name_prefix: environment}\n")
    assert load(environ={"QSERVER_CONFIG": str(other)}).redis_name_prefix == "environment"
    assert load("--config", named, environ={"QSERVER_CONFIG": str(other)}).redis_name_prefix == "option"


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.variable and not s.many], ids=lambda s: s.name)
def test_an_empty_environment_variable_counts_as_not_set(setting: object) -> None:
    variable = getattr(setting, "variable")  # noqa: B009
    assert load(environ={variable: ""}) == load()


def test_every_setting_has_a_field_and_no_name_is_used_twice() -> None:
    fields = set(Settings.__dataclass_fields__)
    assert {setting.name for setting in SETTINGS} <= fields
    for attribute in ("name", "key", "option", "variable"):
        names = [getattr(setting, attribute) for setting in SETTINGS if getattr(setting, attribute)]
        assert len(names) == len(set(names))


def test_no_secret_can_be_given_on_the_command_line() -> None:
    assert {s.name for s in SETTINGS if s.secret} == {"zmq_private_key", "emergency_lock_key"}
    assert all(not s.option for s in SETTINGS if s.secret)


@pytest.mark.row("cli", "secrets are masked")
def test_secrets_are_masked_in_the_log_block_and_in_repr() -> None:
    key = "wt8[6a8eoXFRVL<l2JBbOzs(hcI%kRBIr0Do/eLC"
    settings = load(
        "--redis-addr",
        "redis://user:topsecret@redis:6379/0",
        environ={
            "QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER": key,
            "QSERVER_EMERGENCY_LOCK_KEY_FOR_SERVER": "emergency-7",
        },
    )
    assert settings.zmq_private_key == key
    assert settings.emergency_lock_key == "emergency-7"
    block = settings.describe()
    assert block.startswith("RE Manager configuration:\n")
    assert "zmq_private_key: '***'" in block
    assert "redis://user:***@redis:6379/0" in block
    for secret in (key, "emergency-7"):
        assert secret not in block
        assert secret not in repr(settings)
    assert "topsecret" not in block


def test_the_log_block_names_every_setting() -> None:
    block = load().describe()
    assert all(f"    {setting.name}: " in block for setting in SETTINGS)


@pytest.mark.row("cli", "deprecated options")
def test_deprecated_options_work_with_a_warning() -> None:
    arguments = ["--zmq-addr", "tcp://*:1", "--zmq-publish-console-addr", "ipc:///tmp/info", "--keep-re"]
    settings, notices = load_settings(arguments, {})
    assert settings.zmq_control_addr == "tcp://*:1"
    assert settings.zmq_info_addr == "ipc:///tmp/info"
    assert [notice.level for notice in notices] == [logging.WARNING] * 3
    text = " ".join(notice.text for notice in notices)
    assert "give --zmq-control-addr instead" in text
    assert "give --zmq-info-addr instead" in text
    assert "--keep-re has no effect" in text


def test_the_current_spelling_wins_over_the_deprecated_one() -> None:
    assert load("--zmq-control-addr", "tcp://*:2", "--zmq-addr", "tcp://*:1").zmq_control_addr == "tcp://*:2"


@pytest.mark.row("zmq-api", "CURVE: old name of the variable")
def test_the_old_name_of_the_private_key_is_read_with_a_warning() -> None:
    settings, notices = load_settings([], {"QSERVER_ZMQ_PRIVATE_KEY": "a" * 40})
    assert settings.zmq_private_key == "a" * 40
    assert "set QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER instead" in notices[0].text


def test_a_bad_private_key_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="the key must be a 40 byte z85 encoded string") as error:
        load(environ={"QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER": "short-but-secret"})
    assert "short-but-secret" not in str(error.value)


@pytest.mark.row("cli", "--verbose, --quiet, --silent")
@pytest.mark.parametrize(
    ("option", "level", "number"),
    [
        ("--verbose", "VERBOSE", logging.DEBUG),
        ("--quiet", "QUIET", logging.WARNING),
        ("--silent", "SILENT", logging.CRITICAL + 1),
    ],
)
def test_log_levels(option: str, level: str, number: int) -> None:
    settings = load(option)
    assert (settings.console_logging_level, settings.log_level) == (level, number)


def test_permitted_metadata_keys_are_words_on_the_command_line_and_joined_in_the_environment() -> None:
    variable = {"QSERVER_PERMITTED_RE_METADATA_KEYS": "/a:/b"}
    assert load(environ=variable).permitted_re_metadata_keys == ("/a", "/b")
    assert load("--permitted-re-metadata-keys", "/c", "/d", environ=variable).permitted_re_metadata_keys == ("/c", "/d")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--device-max-depth", "abc"], "--device-max-depth: must be an integer of at least 0, not 'abc'"),
        (["--device-max-depth", "-1"], "--device-max-depth: must be an integer of at least 0, not -1"),
        (["--zmq-publish-console", "YES"], "must be ON or OFF, not 'YES'"),
        (["--zmq-encoding", "xml"], "must be json or msgpack, not 'xml'"),
        (["--zmq-control-addr", "60615"], "must be an address such as tcp://*:60615"),
        (["--zmq-control-addr", "tcp://*:66000"], "must be an address such as tcp://*:60615"),
        (["--max-request-size", "32 parsecs"], "must be a number of bytes such as 1000000 or 32M"),
        (["--worker-idle-timeout", "nan"], "must be a number of seconds of at least 0"),
        (["--permitted-re-metadata-keys", "/a", "/a"], "must not name '/a' twice"),
        (["--redis-addr", ""], "must not be empty"),
        (["--startup-dir", "a", "--startup-module", "b"], "not allowed with argument"),
        (["--verbose", "--quiet"], "not allowed with argument"),
        (["--zmq-data-proxy-addr", "x"], "unrecognized arguments"),
    ],
)
def test_an_unreadable_command_line_ends_with_code_2_and_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        load(*arguments)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "QSERVER_ZMQ_ENCODING_FOR_SERVER",
            "xml",
            "SERVER must be json or msgpack, not 'xml'.",
        ),
        ("QSERVER_IPYTHON_KERNEL_HB_PORT", "0", "must be an integer from 1 to 65535, not 0."),
        ("QSERVER_USE_IPYTHON_KERNEL", "yes", "must be ON or OFF, not 'yes'."),
    ],
)
def test_a_wrong_environment_variable_is_named(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(environ={variable: value})
    assert sentence in str(error.value)


@pytest.mark.parametrize("spelling", ["ON", "on", "On"])
def test_the_ipython_kernel_is_switched_on_and_its_settings_reach_the_worker(spelling: str, tmp_path: Path) -> None:
    settings = load(
        "--use-ipython-kernel",
        spelling,
        "--ipython-shell-port=60001",
        "--ipython-kernel-ip=auto",
        "--ipython-connection-file=kernel.json",
        "--ipython-matplotlib=agg",
        environ={"QSERVER_IPYTHON_KERNEL_CONNECTION_DIR": "/tmp"},
    )
    told = settings.worker_config(link_address="ipc://a", opening_id="o", token="t", spool_dir=tmp_path)
    assert told.kernel == {
        "ip": "auto",
        "connection_file": "kernel.json",
        "connection_dir": "/tmp",
        "matplotlib": "agg",
        "ports": {"shell": 60001},
    }
    assert WorkerConfig.from_json(told.to_json()).kernel == told.kernel


def test_without_the_ipython_kernel_a_worker_is_told_nothing_of_it(tmp_path: Path) -> None:
    settings = load("--use-ipython-kernel", "OFF", "--ipython-shell-port=60001")
    assert settings.worker_config(link_address="ipc://a", opening_id="o", token="t", spool_dir=tmp_path).kernel is None


@pytest.mark.parametrize(
    ("text", "size"), [("65536", 65536), ("512K", 2**19), ("32M", 2**25), ("32MiB", 2**25), ("1 GB", 2**30)]
)
def test_sizes_may_have_a_unit(text: str, size: int) -> None:
    assert load("--max-request-size", text).max_request_size == size


def test_the_help_has_groups_examples_and_every_option() -> None:
    text = build_parser().format_help()
    for setting in SETTINGS:
        assert setting.option in text
        assert not setting.secret or setting.variable in text
    assert "examples:" in text
    assert "exit codes:" in text
    for removed in ("kafka", "databroker", "data-proxy"):
        assert removed not in text.lower()


@pytest.mark.row("cli", "effective settings in a file")
def test_the_effective_settings_can_be_written_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    environ = {
        "QSERVER_SETTINGS_SAVE_TO_FILE": str(file),
        "QSERVER_EMERGENCY_LOCK_KEY_FOR_SERVER": "topsecret",
        "QSERVER_ZMQ_INFO_ADDRESS_FOR_SERVER": "tcp://*:7",
    }
    settings, _ = load_settings(["--zmq-publish-console", "ON", "--data-dir", str(tmp_path)], environ)
    save_settings(settings, environ)
    written = yaml.safe_load(file.read_text())
    assert written.keys() == {setting.name for setting in SETTINGS}
    assert (written["zmq_publish_console"], written["zmq_info_addr"]) == (True, "tcp://*:7")
    assert (written["data_dir"], written["permitted_re_metadata_keys"]) == (str(tmp_path), ["/"])
    assert written["emergency_lock_key"] == "***"
    with pytest.raises(SettingsError, match="The settings cannot be written to '/no/such/directory/file'"):
        save_settings(settings, {"QSERVER_SETTINGS_SAVE_TO_FILE": "/no/such/directory/file"})
