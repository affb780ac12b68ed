"""The configuration file (cli 2.1): one file or a directory, strict, with errors that name file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from queueserver_manager.settings import Settings, SettingsError, load_settings

FULL = """\
network:
  zmq_control_addr: tcp://*:60616
  zmq_private_key: "wt8[6a8eoXFRVL<l2JBbOzs(hcI%kRBIr0Do/eLC"
  zmq_info_addr: tcp://*:60626
  zmq_encoding: msgpack
  zmq_publish_console: true
  redis_addr: localhost:6380
  redis_name_prefix: branch
worker:
  use_ipython_kernel: false
  ipython_kernel_ip: auto
  ipython_matplotlib: qt5
  ipython_connection_file: kernel.json
  ipython_connection_dir: /tmp
  ipython_shell_port: 60000
  ipython_iopub_port: 60001
  ipython_stdin_port: 60002
  ipython_hb_port: 60003
  ipython_control_port: 60004
  permitted_re_metadata_keys: [/a, /b/c]
startup:
  keep_re: true
  startup_dir: $BEAMLINE/startup
  existing_plans_and_devices_path: ${BEAMLINE}/lists
  user_group_permissions_path: ${BEAMLINE}/permissions.yaml
  device_max_depth: 2
  ignore_invalid_plans: on
operation:
  print_console_output: off
  console_logging_level: QUIET
  update_existing_plans_and_devices: ALWAYS
  user_group_permissions_reload: NEVER
  emergency_lock_key: "costs $5"
service:
  max_request_size: 1M
  on_terminate: WAIT
  worker_idle_timeout: 5
  warm_worker: off
  warm_modules: [scipy]
  instrument: ID99
"""


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    return load_settings(["--config", str(path)], environ or {})[0]


def refusal(path: Path) -> str:
    with pytest.raises(SettingsError) as error:
        load(path)
    return str(error.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yml"


@pytest.mark.row("cli", "configuration file: every key")
def test_every_key_of_the_schema_is_read(file: Path) -> None:
    file.write_text(FULL)
    settings = load(file, {"BEAMLINE": "/beamline"})
    assert settings.zmq_control_addr == "tcp://*:60616"
    assert settings.zmq_private_key == "wt8[6a8eoXFRVL<l2JBbOzs(hcI%kRBIr0Do/eLC"
    assert settings.zmq_encoding == "msgpack"
    assert settings.zmq_publish_console is True
    assert settings.redis_addr == "localhost:6380"
    assert settings.ipython_control_port == 60004
    assert settings.permitted_re_metadata_keys == ("/a", "/b/c")
    assert settings.startup.as_mapping() == {"kind": "directory", "value": "/beamline/startup"}
    assert settings.existing_plans_and_devices_path == Path("/beamline/lists/existing_plans_and_devices.yaml")
    assert settings.user_group_permissions_path == Path("/beamline/permissions.yaml")
    assert settings.device_max_depth == 2
    assert settings.ignore_invalid_plans is True
    assert settings.print_console_output is False
    assert settings.console_logging_level == "QUIET"
    assert settings.emergency_lock_key == "costs $5"
    assert settings.max_request_size == 2**20
    assert settings.on_terminate == "WAIT"
    assert settings.worker_idle_timeout == 5.0
    assert settings.warm_modules == ("scipy",)
    assert settings.instrument == "ID99"


@pytest.mark.row("cli", "configuration file: a directory")
def test_a_directory_of_files_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("network: {redis_name_prefix: one}\n")
    (tmp_path / "b.yaml").write_text("startup: {device_max_depth: 1}\n")
    (tmp_path / "notes.txt").write_text("network: {redis_name_prefix: two}\n")
    settings = load(tmp_path)
    assert (settings.redis_name_prefix, settings.device_max_depth) == ("one", 1)


@pytest.mark.parametrize("text", ["", "---\n", "network:\n", "# nothing yet\n"])
def test_an_empty_file_or_section_gives_the_defaults(file: Path, text: str) -> None:
    file.write_text(text)
    assert load(file).redis_name_prefix == "qs_default"


def test_an_empty_directory_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path).redis_name_prefix == "qs_default"


@pytest.mark.row("cli", "configuration file: one file a section")
def test_a_section_may_occur_in_one_file_only(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("network: {redis_name_prefix: one}\n")
    (tmp_path / "b.yml").write_text("startup: {}\nnetwork: {zmq_encoding: json}\n")
    text = refusal(tmp_path)
    assert f"file {tmp_path}/b.yml, line 2: the section 'network' was already given in" in text
    assert f"{tmp_path}/a.yml, line 1" in text


@pytest.mark.row("cli", "configuration file: mistakes")
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "network:\n  redis_adr: x\n",
            "line 2: unknown key 'redis_adr' in the section 'network'; did you mean 'redis_a",
        ),
        ("netwrk: {}\n", "line 1: unknown section 'netwrk'; did you mean 'network'?"),
        ("run_engine:\n  use_persistent_metadata: true\n", "line 1: unknown section 'run_engine'; known are network, "),
        (
            "worker:\n  redis_addr: x\n",
            "'redis_addr' in the section 'worker'; it belongs to the section 'network'.",
        ),
        ("network:\n  redis_addr: a\n  redis_addr: b\n", "line 3: the key 'redis_addr' is given twice."),
        ("network: {}\nstartup: {}\nnetwork: {}\n", "line 3: the section 'network' is given twice."),
        (
            "network:\n  redis_addr:\n",
            "line 2: 'network/redis_addr' has no value; leave the key out to get",
        ),
        ("network:\n  redis_addr: 6379\n", "'network/redis_addr' must be text (put it in quotes), not 6379."),
        ("network:\n  zmq_publish_console: 'ON'\n", "'network/zmq_publish_console' must be true or false, not 'ON'."),
        ("startup:\n  device_max_depth: '2'\n", "must be an integer of at least 0, not '2'."),
        ("startup:\n  device_max_depth: true\n", "must be an integer of at least 0, not True."),
        ("worker:\n  ipython_hb_port: 70000\n", "must be an integer from 1 to 65535, not 70000."),
        ("worker:\n  permitted_re_metadata_keys: [/a, /a]\n", "must not name '/a' twice."),
        ("worker:\n  permitted_re_metadata_keys: /a\n", "must be a list of texts, not '/a'."),
        (
            "operation:\n  console_logging_level: xxQUIETyy\n",
            "must be VERBOSE, NORMAL, QUIET or SILENT, not 'xxQUIET",
        ),
        ("operation:\n  console_logging_level: 20\n", "must be VERBOSE, NORMAL, QUIET or SILENT, not 20."),
        ("network: [a]\n", "line 1: the section 'network' must be a mapping of keys to values."),
        ("- network\n", "line 1: the file must be a mapping of the sections 'network', "),
        ("network:\n  a: b: c\n", "line 2: this is not YAML: mapping values are not allowed here."),
        ("network:\n  redis_addr: !!python/object:os.system x\n", "line 2: 'network/redis_addr' cannot be read"),
        (
            "startup:\n  startup_dir: /a\n  startup_profile: b\n",
            "and Configuration file {file}, line 3, 'startup/startup_profile' cannot be given together",
        ),
        ("startup:\n  startup_script: /a\n  startup_module: b\n", "cannot be given together: name one source"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    answer = refusal(file)
    assert sentence.replace("{file}", str(file)) in answer
    assert answer.startswith(f"Configuration file {file}, line ")


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    assert refusal(path) == (
        f"The configuration {path} does not exist; give an existing YAML file or a directory of them."
    )


def test_a_file_that_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00network")
    assert refusal(file) == f"The configuration file {file} is not UTF-8 text."


def test_a_secret_of_the_wrong_type_is_not_shown(file: Path) -> None:
    file.write_text("operation:\n  emergency_lock_key: 31415926\nnetwork:\n  zmq_private_key: 27182818\n")
    text = refusal(file)
    assert "31415926" not in text
    assert "27182818" not in text
