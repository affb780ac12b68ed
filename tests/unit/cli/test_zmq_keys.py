"""`qserver-zmq-keys` (cli.md 3)."""

from __future__ import annotations

import re

import pytest
import zmq

from queueserver_cli.zmq_keys import main

LINE = "=" * 84
BLOCK = re.compile(
    rf"{LINE}\n     ZMQ SECURITY: (?P<title>.+)\n{LINE}\n"
    r" Private key \(RE Manager\):                 (?P<private>\S{40})\n"
    r" Public key \(CLI client or HTTP server\):   (?P<public>\S{40})\n"
    rf"{LINE}\n\n"
)


@pytest.mark.row("cli", "qserver-zmq-keys: a pair")
def test_a_new_pair(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for _ in range(2):
        assert main([]) == 0
        match = BLOCK.fullmatch(capsys.readouterr().out)
        assert match is not None
        assert match["title"] == "New public-private key pair."
        assert zmq.curve_public(match["private"].encode()).decode() == match["public"]
        shown.append(match["private"])
    assert shown[0] != shown[1]


@pytest.mark.row("cli", "qserver-zmq-keys: a public key")
def test_the_public_key_of_a_private_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--zmq-private-key", "a" * 40]) == 0
    match = BLOCK.fullmatch(capsys.readouterr().out)
    assert match is not None
    assert match["title"] == "Private key generated based on provided private key."
    assert match["private"] == "a" * 40
    assert match["public"] == "gwy)[)d13?aBEM4e[E!Wi&MqiC!nj1M7B6J(GLiy"


@pytest.mark.row("cli", "qserver-zmq-keys: a bad key")
@pytest.mark.parametrize("key", ["abc", "", "a" * 39 + '"', "a" * 41])
def test_a_bad_key(capsys: pytest.CaptureFixture[str], key: str) -> None:
    assert main(["--zmq-private-key", key]) == 4
    text = f"Failed to generate keys: Invalid key {key!r}: the key must be a 40 byte z85 encoded string\n"
    assert capsys.readouterr().out == text
