"""The published client library, blocking or asyncio, behind one way to call it."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import zmq
import zmq.asyncio
from bluesky_queueserver_api.zmq import REManagerAPI
from bluesky_queueserver_api.zmq.aio import REManagerAPI as AsyncREManagerAPI

from running_manager import RunningManager


class BlockingClient:
    """`bluesky_queueserver_api.zmq.REManagerAPI`."""

    def __init__(self, manager: RunningManager) -> None:
        self._other_threads = set(threading.enumerate())
        self.api = REManagerAPI(**_arguments(manager))

    def do(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """The result of a method of the library."""
        return getattr(self.api, method)(*args, **kwargs)

    def monitor(self, name: str, method: str, /, **kwargs: Any) -> Any:
        """The result of a method of `console_monitor` or `system_info_monitor`."""
        return getattr(getattr(self.api, name), method)(**kwargs)

    def close(self) -> None:
        with _what_the_library_leaves_is_collected():
            self.api.close()
            del self.api
            for thread in set(threading.enumerate()) - self._other_threads:
                thread.join(10)


class AsyncClient:
    """`bluesky_queueserver_api.zmq.aio.REManagerAPI` in an event loop of its own."""

    def __init__(self, manager: RunningManager) -> None:
        self.loop = asyncio.new_event_loop()
        self.api = self.run(self._connect(manager))

    async def _connect(self, manager: RunningManager) -> AsyncREManagerAPI:
        return AsyncREManagerAPI(**_arguments(manager))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def do(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """The result of a method of the library."""
        return self.run(getattr(self.api, method)(*args, **kwargs))

    def monitor(self, name: str, method: str, /, **kwargs: Any) -> Any:
        """The result of a method of `console_monitor` or `system_info_monitor`."""

        async def call() -> Any:
            result = getattr(getattr(self.api, name), method)(**kwargs)
            return await result if asyncio.iscoroutine(result) else result

        return self.run(call())

    def close(self) -> None:
        with _what_the_library_leaves_is_collected():
            self.do("close")
            self.run(_cancel_other_tasks())
            del self.api
            self.loop.close()
            for context in [found for found in gc.get_objects() if type(found) is zmq.asyncio.Context]:
                context.destroy(linger=0)  # after a time-out the library keeps one


Client = BlockingClient | AsyncClient


async def _cancel_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def _what_the_library_leaves_is_collected() -> Iterator[None]:
    """Its contexts, sockets and coroutines are collected here and not in a later test, which they would fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()


def _arguments(manager: RunningManager) -> dict[str, Any]:
    return {
        "zmq_control_addr": manager.control_address,
        "zmq_info_addr": manager.info_address,
        "zmq_encoding": manager.encoding,
        "console_monitor_poll_timeout": 0.05,
        "system_info_monitor_poll_timeout": 0.05,
        "status_expiration_period": 0.02,
        "status_polling_period": 0.02,
    }
