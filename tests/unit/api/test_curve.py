from __future__ import annotations

import pytest
import zmq

from queueserver_common.link.curve_key import KeyFormatError, check_key
from queueserver_manager.api.curve import CurveServerKeys


def test_the_public_key_belongs_to_the_private_one() -> None:
    public, secret = zmq.curve_keypair()
    keys = CurveServerKeys.from_text(secret.decode())
    assert keys.public == public.decode()


def test_the_private_key_is_not_shown() -> None:
    _, secret = zmq.curve_keypair()
    assert secret.decode() not in repr(CurveServerKeys.from_text(secret.decode()))


@pytest.mark.parametrize("text", ["", "abc", "x" * 39, "x" * 41, "ü" * 40, "x" * 39 + "~", " " * 40, "#" * 40])
def test_a_text_that_is_no_key_is_refused_with_the_text_of_the_contract(text: str) -> None:
    with pytest.raises(KeyFormatError) as caught:
        check_key(text)
    assert str(caught.value) == f"Invalid key '{text}': the key must be a 40 byte z85 encoded string"
