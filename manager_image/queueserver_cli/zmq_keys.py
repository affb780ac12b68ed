"""`qserver-zmq-keys`: makes a key pair for an encrypted control socket (cli.md 3, zmq-api 1.3)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import zmq

from queueserver_cli import client

EXIT_OK = 0
EXIT_FAILED = 4

_LINE = "=" * 84


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with the given options (default: those of the command line) and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        print(key_block(options.zmq_private_key))
    except (client.SettingsError, zmq.ZMQError) as error:
        print(f"Failed to generate keys: {error}")
        return EXIT_FAILED
    return EXIT_OK


def key_block(private_key: str | None) -> str:
    """The block that shows a new pair, or the pair that belongs to a private key; raises `SettingsError`."""
    if private_key is None:
        title = "New public-private key pair."
        public, private = (key.decode() for key in zmq.curve_keypair())
    else:
        title = "Private key generated based on provided private key."
        private = client.check_key(private_key)
        public = zmq.curve_public(private.encode()).decode()
    return "\n".join(
        (
            _LINE,
            f"     ZMQ SECURITY: {title}",
            _LINE,
            f" Private key (RE Manager):                 {private}",
            f" Public key (CLI client or HTTP server):   {public}",
            _LINE,
            "",
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qserver-zmq-keys",
        description="Make a pair of keys for the encryption of a manager's control socket. The manager gets the "
        "private key in QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER, its clients get the public key in QSERVER_ZMQ_PUBLIC_KEY.",
    )
    parser.add_argument(
        "--zmq-private-key",
        metavar="KEY",
        help="show the public key that belongs to this private key of 40 characters, instead of making a new pair",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
