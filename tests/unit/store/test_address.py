from __future__ import annotations

import pytest

from queueserver_manager.store.address import RedisAddress, parse_address
from queueserver_manager.store.errors import AddressError


@pytest.mark.row("cli", "--redis-addr")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", RedisAddress("localhost", 6379, 0)),
        ("beamline-7.example.org:6380", RedisAddress("beamline-7.example.org", 6380, 0)),
        ("localhost:6380/3", RedisAddress("localhost", 6380, 3)),
        ("localhost/3", RedisAddress("localhost", 6379, 3)),
        ("[::1]:6380", RedisAddress("::1", 6380, 0)),
        ("  localhost ", RedisAddress("localhost", 6379, 0)),
        ("redis://localhost", RedisAddress("localhost", 6379, 0)),
        ("redis://h:6380/2", RedisAddress("h", 6380, 2)),
        ("redis://h?db=4", RedisAddress("h", 6379, 4)),
        ("redis://:se%40cret@h", RedisAddress("h", password="se@cret")),
        ("redis://user:secret@h:1/0", RedisAddress("h", 1, username="user", password="secret")),
        ("rediss://h", RedisAddress("h", tls=True)),
        (
            "rediss://h?ssl_ca_certs=/ca.pem",
            RedisAddress("h", tls=True, tls_options=(("ssl_ca_certs", "/ca.pem"),)),
        ),
        ("unix:///run/redis.sock", RedisAddress(path="/run/redis.sock")),
        ("unix:///run/re%20dis.sock?db=2", RedisAddress(path="/run/re dis.sock", db=2)),
        ("unix://user:secret@/run/r.sock", RedisAddress(path="/run/r.sock", username="user", password="secret")),
    ],
)
def test_address_is_read_in_every_form(text: str, expected: RedisAddress) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be understood"),
        ("a b", "cannot be understood"),
        ("user:secret@host", "cannot be understood"),
        ("localhost:", "port"),
        ("localhost:seven", "port"),
        ("localhost:0", "port"),
        ("localhost:65536", "port"),
        ("localhost/x", "database"),
        ("localhost/-1", "database"),
        ("http://localhost", "scheme"),
        ("redis://h:99999", "port"),
        ("redis://h/x", "database"),
        ("redis://h?socket_timeout=3", "unknown options: socket_timeout"),
        ("redis://h?ssl_ca_certs=/ca.pem", "unknown options"),
        ("unix://run/redis.sock?db=x", "database"),
        ("unix://?db=1", "absolute path"),
    ],
)
def test_address_that_cannot_be_understood_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason):
        parse_address(text)


@pytest.mark.parametrize("text", ["redis://user:secret@h:1/2", "unix://user:secret@/r.sock", "rediss://:secret@[::1]"])
def test_address_is_shown_without_credentials(text: str) -> None:
    address = parse_address(text)
    assert address.password == "secret"
    for shown in (str(address), repr(address)):
        assert "secret" not in shown
        assert "user" not in shown.partition("RedisAddress")[0]


@pytest.mark.parametrize(
    "text",
    [
        "redis://u:secret@h/x",
        "redis://u:secret/@h",
        "redis://u:12/secret@h",
        "redis://u:1/secret:2@h",
        "ftp://u:secret@h",
        "u:secret@host",
        "u:12/secret@host",
        "redis://u:secret@h?x=1",
    ],
)
def test_refusal_does_not_show_the_password(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["localhost:6380/3", "[::1]:6379", "unix:///run/redis.sock?db=2", "rediss://h:6379"])
def test_address_that_is_shown_can_be_read_again(text: str) -> None:
    assert parse_address(str(parse_address(text))) == parse_address(text)
