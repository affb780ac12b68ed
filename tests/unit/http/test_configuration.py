from __future__ import annotations

from pathlib import Path

import pytest

from queueserver_http.configuration.sources import ConfigurationError, load


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_defaults_are_those_of_the_contract() -> None:
    configuration = load(environ={})
    assert configuration.qserver_zmq_configuration.control_address == "tcp://localhost:60615"
    assert configuration.qserver_zmq_configuration.info_address == "tcp://localhost:60625"
    assert configuration.uvicorn.port == 60610
    assert configuration.uvicorn.host == "localhost"
    authentication = configuration.authentication
    assert (authentication.access_token_max_age, authentication.refresh_token_max_age) == (900, 604800)
    assert authentication.session_max_age == 365 * 86400
    assert configuration.database.uri == "sqlite:///./bluesky_httpserver.sqlite"
    assert configuration.server_configuration.response_bytesize_limit == 300_000_000


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("QSERVER_ZMQ_CONTROL_ADDRESS", "tcp://a:1", "qserver_zmq_configuration.control_address", "tcp://a:1"),
        ("QSERVER_ZMQ_ADDRESS_CONTROL", "tcp://a:1", "qserver_zmq_configuration.control_address", "tcp://a:1"),
        ("QSERVER_ZMQ_ADDRESS", "tcp://a:1", "qserver_zmq_configuration.control_address", "tcp://a:1"),
        ("QSERVER_ZMQ_INFO_ADDRESS", "tcp://a:1", "qserver_zmq_configuration.info_address", "tcp://a:1"),
        ("QSERVER_ZMQ_ADDRESS_CONSOLE", "tcp://a:1", "qserver_zmq_configuration.info_address", "tcp://a:1"),
        ("QSERVER_ZMQ_ENCODING", "MsgPack", "qserver_zmq_configuration.encoding", "msgpack"),
        ("QSERVER_HTTP_CUSTOM_ROUTERS", "a:b.c,d", "server_configuration.custom_routers", ["a", "b.c", "d"]),
        ("QSERVER_CUSTOM_MODULES", "a:b", "server_configuration.custom_modules", ["a", "b"]),
        ("QSERVER_CUSTOM_MODULE", "a", "server_configuration.custom_modules", ["a"]),
        ("QSERVER_HTTP_SERVER_ALLOW_ANONYMOUS_ACCESS", "1", "authentication.allow_anonymous_access", True),
        ("QSERVER_HTTP_SERVER_ALLOW_ANONYMOUS_ACCESS", "0", "authentication.allow_anonymous_access", False),
        ("QSERVER_HTTP_SERVER_ALLOW_ORIGINS", "http://a http://b", "allow_origins", ["http://a", "http://b"]),
        ("QSERVER_HTTP_SERVER_SINGLE_USER_API_KEY", "abc", "authentication.single_user_api_key", "abc"),
        ("QSERVER_HTTP_SERVER_SERVER_SECRET_KEYS", "a;b", "authentication.secret_keys", ["a", "b"]),
        ("QSERVER_HTTP_SERVER_ACCESS_TOKEN_MAX_AGE", "1", "authentication.access_token_max_age", 1),
        ("QSERVER_HTTP_SERVER_REFRESH_TOKEN_MAX_AGE", "2", "authentication.refresh_token_max_age", 2),
        ("QSERVER_HTTP_SERVER_SESSION_MAX_AGE", "3", "authentication.session_max_age", 3),
        ("QSERVER_HTTP_SERVER_RESPONSE_BYTESIZE_LIMIT", "4", "server_configuration.response_bytesize_limit", 4),
        ("QSERVER_HTTP_SERVER_DATABASE_URI", "sqlite://", "database.uri", "sqlite://"),
        ("QSERVER_HTTP_SERVER_DATABASE_POOL_SIZE", "6", "database.pool_size", 6),
        ("QSERVER_HTTP_SERVER_DATABASE_POOL_PRE_PING", "0", "database.pool_pre_ping", False),
    ],
)
@pytest.mark.row(
    "http-api",
    "configuration: environment variables",
    "configuration: deprecated variables",
    "configuration: lists of modules",
)
def test_variables_of_the_environment(name: str, value: str, path: str, expected: object) -> None:
    found: object = load(environ={name: value})
    for part in path.split("."):
        found = getattr(found, part)
    assert found == expected


def test_the_text_of_a_variable_may_be_in_a_file(tmp_path: Path) -> None:
    file = write(tmp_path / "key", "fromfile\n")
    name = "QSERVER_HTTP_SERVER_SINGLE_USER_API_KEY"
    assert load(environ={f"{name}_FILE": file}).authentication.single_user_api_key == "fromfile"
    assert load(environ={f"{name}_FILE": file, name: "variable"}).authentication.single_user_api_key == "variable"
    with pytest.raises(ConfigurationError, match=f"which {name}_FILE names, cannot be read"):
        load(environ={f"{name}_FILE": str(tmp_path / "none")})


@pytest.mark.row(
    "http-api",
    "configuration: file",
    "configuration: variables in the file",
    "configuration: file before environment",
    "section authentication",
)
def test_a_file_beats_the_environment_and_public_beats_both(tmp_path: Path) -> None:
    file = write(
        tmp_path / "c.yml", "authentication:\n  single_user_api_key: ${KEY}\n  allow_anonymous_access: false\n"
    )
    environ = {
        "KEY": "fromfile",
        "QSERVER_HTTP_SERVER_SINGLE_USER_API_KEY": "fromenvironment",
        "QSERVER_HTTP_SERVER_SESSION_MAX_AGE": "7",
        "QSERVER_HTTP_SERVER_CONFIG": file,
    }
    configuration = load(environ=environ, public=True)
    assert configuration.authentication.single_user_api_key == "fromfile"
    assert configuration.authentication.session_max_age == 7
    assert configuration.authentication.allow_anonymous_access is True


@pytest.mark.row("http-api", "configuration: directory", "configuration: a section in one file only")
def test_sections_may_be_in_several_files_but_each_in_one_only(tmp_path: Path) -> None:
    write(tmp_path / "a.yml", "uvicorn: {port: 1}\n")
    write(tmp_path / "b.yaml", "allow_origins: [http://a]\n")
    write(tmp_path / "c.txt", "nonsense: 1\n")
    configuration = load(str(tmp_path), {})
    assert (configuration.uvicorn.port, configuration.allow_origins) == (1, ["http://a"])
    write(tmp_path / "d.yml", "uvicorn: {port: 2}\n")
    with pytest.raises(ConfigurationError, match=r"'uvicorn' is in .* in one file only"):
        load(str(tmp_path), {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML in line"),
        ("- a", "must hold a mapping"),
        ("authentication: {secret_keys: SECRETWORD}", "authentication/secret_keys"),
        ("authentication: {single_user_api_key: SECRET-WORD}", "letters and digits"),
        ("database: {pool_size: 0}", "database/pool_size"),
        ("qserver_zmq_configuration: {public_key: SECRETWORD}", "must be a 40 byte z85"),
        ("qserver_zmq_configuration: {info_encrypted: true}", "needs the 'public_key' of the manager"),
    ],
)
def test_what_is_wrong_is_said_without_showing_secrets(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words) as error:
        load(write(tmp_path / "c.yml", text), {})
    if "z85" not in words:  # a public key is no secret
        assert "SECRET" not in str(error.value)


def test_a_file_that_is_not_there_and_a_directory_without_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(str(tmp_path / "none.yml"), {})
    with pytest.raises(ConfigurationError, match="no configuration files"):
        load(str(tmp_path), {})
