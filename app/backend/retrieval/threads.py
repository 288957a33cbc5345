"""Threads: for encoder and index on a machine whose cores are busy with an engine, and for work that takes long.

OpenMP's idle threads spin by default. Beside a busy engine that made a batch of queries six times slower (on two
cores 25-45 queries/s spinning, 160-280 sleeping).

Invariant: the policy is this process's own; the engine's processes start with the environment as it was.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

_POLICY = "OMP_WAIT_POLICY"
_PACKAGES = ("torch", "faiss")
_WORTH_ALL_CORES = 4
"""Texts from which waking the other cores pays."""


def threads_for(texts: int) -> int:
    """Threads to work on so many texts with: all cores this process may use, or one."""
    if texts < _WORTH_ALL_CORES:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wait_passively() -> None:
    """Let idle OpenMP threads of torch and faiss sleep. Works only before torch is imported, and takes 5 ms.

    The libraries read their policy from the environment, once, while they are loaded: so it is set for just that long.
    """
    if _POLICY in os.environ:
        return
    os.environ[_POLICY] = "PASSIVE"
    try:
        for library in _libraries():
            ctypes.CDLL(str(library))
    except OSError as error:
        log.info("OpenMP keeps its own policy: %s", error)
    finally:
        del os.environ[_POLICY]


def _libraries() -> list[Path]:
    """The OpenMP runtimes that come with the packages, inside them or beside them."""
    found: list[Path] = []
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for root in map(Path, (spec.submodule_search_locations or ()) if spec else ()):
            found += [*root.glob("lib/libgomp*.so*"), *root.parent.glob(f"{package}*.libs/libgomp*.so*")]
    return found


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread of its own that doesn't keep the program from ending: imports alone may take 16 s."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 (whoever awaits gets it)
            future.set_exception(error)
        else:
            future.set_result(result)

    future.set_running_or_notify_cancel()  # from here on only the wait for it can be cancelled
    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(future)


def failure(task: asyncio.Task[T]) -> BaseException | None:
    """What a finished task failed with."""
    return None if task.cancelled() else task.exception()
