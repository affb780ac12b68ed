"""A REP socket that answers every request with a reply of the size of a status: pyzmq and nothing else.

Arguments: address, size of the reply in bytes, seconds after which the program ends in any case.
"""

from __future__ import annotations

import contextlib
import sys
import time

import zmq


def main() -> None:
    """Echo until the time is over."""
    address, size, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REP)
    socket.setsockopt(zmq.RCVTIMEO, 100)
    socket.bind(address)
    reply = b"x" * size
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(zmq.Again):
            socket.recv()
            socket.send(reply)


if __name__ == "__main__":
    main()
