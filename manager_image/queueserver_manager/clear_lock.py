"""`qserver-clear-lock`: takes the lock out of the manager's data when its key is lost (cli.md 3)."""

from __future__ import annotations

import argparse
import asyncio
import os
import pprint
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from queueserver_manager.core.locks import Lock, encode_unlocked, lock_info
from queueserver_manager.paths import default_data_dir, default_runtime_dir, identity_of, prepare_paths
from queueserver_manager.settings.errors import SettingsError
from queueserver_manager.store.errors import AddressError, PackagedServerError, StoreLost
from queueserver_manager.store.holder import this_process
from queueserver_manager.store.keys import Keys
from queueserver_manager.store.packaged_server import ensure_packaged_server, stop_packaged_server
from queueserver_manager.store.redis_store import RedisStore

EXIT_OK = 0
EXIT_FAILED = 1

_DEFAULT_REDIS = "localhost:6379"
_LOGGER = "bluesky_queueserver.manager.qserver_cli"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with the given options (default: those of the command line) and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        asyncio.run(_clear(options.redis_addr, options.redis_name_prefix, options.data_dir))
    except (AddressError, PackagedServerError, SettingsError, StoreLost) as error:
        sys.stderr.write(f"ERROR:{_LOGGER}:Failed to clear RE Manager lock: {error}\n")
        return EXIT_FAILED
    return EXIT_OK


async def _clear(address: str | None, prefix: str, data_dir: Path | None) -> None:
    fields = Keys(prefix).fields
    async with _connected(address, prefix, data_dir) as store:
        text = await store.ask("HGET", fields, "lock")
        lock, uid = Lock.decode(text) if text is not None else (None, "")
        if lock is None:
            _say("No lock was detected.")
            return
        shown = lock_info(lock, emergency_key=False)
        del shown["emergency_lock_key_is_set"]  # a setting of the manager, which is not in its data
        _say("Detected lock info:")
        _say(pprint.pformat(shown, sort_dicts=False))
        _say("Clearing the lock ...")
        await store.ask("HSET", fields, "lock", encode_unlocked(uid))
        _say("RE Manager lock was cleared. Restart RE Manager service to unlock the manager!")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


@asynccontextmanager
async def _connected(address: str | None, prefix: str, data_dir: Path | None) -> AsyncIterator[RedisStore]:
    """The store where a manager with the same options would look for it; a packaged server runs meanwhile."""
    store: RedisStore | None = None
    packaged = ""
    if address is not None:
        store = await RedisStore.connect(address, prefix, this_process())
    elif data_dir is None:
        with suppress(StoreLost):
            store = await RedisStore.connect(_DEFAULT_REDIS, prefix, this_process())
    if store is None:
        directory = data_dir or default_data_dir(os.environ)
        paths = prepare_paths(directory, default_runtime_dir(os.environ), identity_of(str(directory), prefix))
        packaged = await ensure_packaged_server(paths.store_dir, paths.runtime_dir, "always")
        store = await RedisStore.connect(packaged, prefix, this_process())
    try:
        yield store
    finally:
        await store.close()
        if packaged:
            await stop_packaged_server(packaged)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qserver-clear-lock",
        description="Clear the lock of a manager when its key is lost. Access to the manager's Redis server is needed; "
        "the manager has to be started again afterwards.",
    )
    parser.add_argument(
        "--redis-addr",
        metavar="ADDR",
        help="address of the Redis server (default: localhost, else the packaged server of this user)",
    )
    parser.add_argument(
        "--redis-name-prefix",
        metavar="PREFIX",
        default="qs_default",
        help="prefix of the names of the manager's keys (default: qs_default)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        default=os.environ.get("QSERVER_DATA_DIR"),
        help="data directory of the packaged server, as given to the manager (default: QSERVER_DATA_DIR)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
