"""The subscription to what a manager publishes, with and without encryption."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import zmq

from queueserver_http.manager.subscription import CONSOLE_TOPIC, Subscription

DEADLINE = 20.0


async def receives(publish: Callable[[], None], address: str, public_key: str | None) -> list[bytes]:
    """The first message, while it is published again and again."""
    seen: list[bytes] = []
    subscription = Subscription(
        address, encoding="json", public_key=public_key, on_console=seen.append, on_status=lambda _: None
    )
    deadline = asyncio.get_running_loop().time() + DEADLINE
    while not seen and asyncio.get_running_loop().time() < deadline:
        publish()
        await asyncio.sleep(0.02)
    subscription.close()
    return seen[:1]


@pytest.mark.parametrize("encrypted", [True, False])
def test_what_is_published_arrives(encrypted: bool) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.linger = 0
        public, secret = zmq.curve_keypair()
        if encrypted:
            publisher.curve_server, publisher.curve_secretkey = True, secret
        port = publisher.bind_to_random_port("tcp://127.0.0.1")

        def publish() -> None:
            publisher.send_multipart((CONSOLE_TOPIC, b'{"msg": "a"}'))

        key = public.decode() if encrypted else None
        assert asyncio.run(receives(publish, f"tcp://127.0.0.1:{port}", key)) == [b'{"msg": "a"}']
