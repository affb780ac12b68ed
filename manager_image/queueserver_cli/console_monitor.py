"""`qserver-console-monitor`: writes the console output that a manager publishes to stdout (cli.md 3, zmq-api 1.4)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import zmq

from queueserver_cli import client

EXIT_STOPPED = 1
"""Exit code of every end: the program runs until it is interrupted or fails."""

CONSOLE_TOPIC = b"QS_Console"

_WAITING_MESSAGES = 100_000
"""How many messages may wait for a slow terminal before 0MQ drops further ones."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with the given options (default: those of the command line) and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        if options.zmq_subscribe_addr:
            _log("Option --zmq-subscribe-addr is deprecated, use --zmq-info-addr instead.")
        address = client.info_address(options.zmq_info_addr or options.zmq_subscribe_addr)
        public_key = client.info_key(encrypted=options.zmq_info_encrypted)
        _follow(address, client.encoding_name(options.zmq_encoding), public_key, sys.stdout)
    except KeyboardInterrupt:
        _log("Stopped by Ctrl-C.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains at its end
    except (client.SettingsError, zmq.ZMQError) as error:
        _log(f"Queue Server Console Monitor failed: {error}")
    return EXIT_STOPPED


def _follow(address: str, encoding: str, public_key: str | None, out: TextIO) -> None:
    """Copy messages until an exception ends it; 0MQ waits for the manager and connects again by itself."""
    if hasattr(out, "reconfigure"):
        out.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still shows every line
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, _WAITING_MESSAGES)
        socket.setsockopt(zmq.SUBSCRIBE, CONSOLE_TOPIC)
        if public_key:
            client.encrypt(socket, public_key, zmq.curve_keypair())
        socket.connect(address)
        _log(f"Waiting for console output from {address} ({encoding}). Press Ctrl-C to exit.")
        while True:
            text = console_text(socket.recv_multipart(), encoding)
            if text is None:
                _log(f"A message was left out because it is no console output in {encoding}.")
                continue
            out.write(text)
            out.flush()


def console_text(frames: Sequence[bytes], encoding: str) -> str | None:
    """The text that one message of the console topic carries; None if the message is something else."""
    if len(frames) != 2 or frames[0] != CONSOLE_TOPIC:
        return None
    try:
        payload: Any = client.decode(frames[1], encoding)
    except client.CommunicationError:
        return None
    text = payload.get("msg") if isinstance(payload, dict) else None
    return text if isinstance(text, str) else None


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qserver-console-monitor",
        description="Show the console output of a queue server. The manager publishes it when it runs with "
        "--zmq-publish-console ON.",
    )
    parser.add_argument(
        "--zmq-info-addr",
        metavar="ADDR",
        help="address of the manager's info socket (default: QSERVER_ZMQ_INFO_ADDRESS, else "
        f"{client.DEFAULT_INFO_ADDRESS})",
    )
    parser.add_argument(
        "--zmq-info-encrypted",
        action="store_true",
        help="the info socket is encrypted with the key in QSERVER_ZMQ_PUBLIC_KEY (default: "
        "QSERVER_ZMQ_INFO_ENCRYPTED, ON or OFF)",
    )
    parser.add_argument("--zmq-subscribe-addr", metavar="ADDR", help="deprecated spelling of --zmq-info-addr")
    parser.add_argument(
        "--zmq-encoding",
        metavar="NAME",
        help="json or msgpack, as the manager is configured (default: QSERVER_ZMQ_ENCODING, else json)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
