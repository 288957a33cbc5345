"""Keeps a thing that dies alive: starts it beside the event loop, notices its death, starts it again.

Invariant: `current()` gives an instance only while `health()` is ready; after `aclose()` nothing is started any more.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from app.backend.errors import Unavailable
from app.backend.types import Health, HealthState

log = logging.getLogger(__name__)


class Supervised(Protocol):
    """What is kept alive."""

    def dead(self) -> bool:
        """Cheap; asked several times a second."""

    async def attach(self) -> None:
        """Called once on the event loop after the start, before it counts as ready."""

    def shut(self) -> None:
        """Release everything. Blocks; called beside the event loop, also after a death."""


T = TypeVar("T", bound=Supervised)
Report = Callable[[str], None]


class HopelessError(Exception):
    """A start that will fail again the same way. The message is one sentence for people."""


class Supervisor(Generic[T]):
    """`boot(report)` starts an instance in a thread and tells its steps; `halt()` makes a start under way give up.

    Between two starts it waits `pause_s`, doubled each time up to a minute, until an instance lived for `stable_s`.
    After `tries` failed starts in a row it gives up, after `HopelessError` at once.
    """

    def __init__(
        self,
        boot: Callable[[Report], T],
        halt: Callable[[], None],
        *,
        name: str = "engine",
        expected_s: float | None = None,
        tries: int = 3,
        pause_s: float = 1.0,
        stable_s: float = 60.0,
        watch_s: float = 0.25,
    ) -> None:
        self._boot = boot
        self._halt = halt
        self._name = name
        self._expected_s = expected_s
        self._tries = tries
        self._pause_s = pause_s
        self._stable_s = stable_s
        self._watch_s = watch_s
        self._instance: T | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._health = Health("stopped", f"The {name} is not started.", time.time())

    def health(self) -> Health:
        if self._instance is not None and self._instance.dead():
            self._bury()
        return self._health

    async def start(self) -> None:
        """Returns at once."""
        self._become("starting", f"The {self._name} is starting.")
        self._task = asyncio.create_task(self._keep(), name=f"{self._name}-supervisor")

    def current(self) -> T:
        """The living instance; raises Unavailable with the reason why there is none."""
        health = self.health()
        if self._instance is None:
            raise Unavailable(health.detail)
        return self._instance

    async def until(self, holds: Callable[[Health], bool]) -> Health:
        """Wait for a health that `holds`; what lasts less than a turn of the loop may be missed."""
        while not holds(self.health()):
            await self._changed.wait()
        return self._health

    async def aclose(self) -> None:
        """Returns when the instance is shut. A start under way is told to give up, and is not waited for."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._become("stopped", f"The {self._name} is stopped.")

    async def _keep(self) -> None:
        failed = restarts = 0
        while True:
            try:
                instance = await self._started()
            except HopelessError as error:
                log.error("the %s cannot start: %s", self._name, error)
                self._become("down", str(error))
                return
            except Exception:
                failed += 1
                log.exception(
                    "the %s did not start (attempt %d of %d)",
                    self._name,
                    failed,
                    self._tries,
                )
                if failed == self._tries:
                    self._become(
                        "down",
                        f"The {self._name} failed to start {failed} times; the server's log says why.",
                    )
                    return
                self._become("down", f"The {self._name} failed to start; it is tried again.")
            else:
                failed = 0
                lived_s = await self._watched(instance)
                del instance
                log.error("the %s died after %.1f s", self._name, lived_s)
                restarts = 0 if lived_s >= self._stable_s else restarts
            await asyncio.sleep(min(self._pause_s * 2**restarts, 60.0))
            restarts += 1
            self._become("starting", f"The {self._name} is starting again.")

    async def _started(self) -> T:
        loop = asyncio.get_running_loop()

        def report(step: str) -> None:
            loop.call_soon_threadsafe(self._become, "starting", step)

        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        # A daemon: a start that takes a minute must not hold up the end of the program.
        threading.Thread(
            target=_settle,
            args=(future, lambda: self._boot(report)),
            name=f"{self._name}-start",
            daemon=True,
        ).start()
        try:
            instance = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(_shut_result)
            await asyncio.to_thread(self._halt)
            raise
        try:
            await instance.attach()
        except BaseException:
            await self._shut(instance)
            raise
        return instance

    async def _shut(self, instance: T) -> None:
        """What cannot be released keeps nothing new from being started."""
        try:
            await asyncio.to_thread(instance.shut)
        except Exception:
            log.exception("the %s could not be shut", self._name)

    async def _watched(self, instance: T) -> float:
        """Until the instance dies; how long it lived."""
        began = time.monotonic()
        self._instance = instance
        self._become("ready", "")
        try:
            while self.health().state == "ready":
                await asyncio.sleep(self._watch_s)
        finally:
            self._instance = None
            await self._shut(instance)
        return time.monotonic() - began

    def _bury(self) -> None:
        self._instance = None
        self._become("down", f"The {self._name} died; it is started again.")

    def _become(self, state: HealthState, detail: str) -> None:
        since = self._health.since if state == self._health.state else time.time()
        self._health = Health(state, detail, since, self._expected_s if state == "starting" else None)
        self._changed.set()
        self._changed = asyncio.Event()


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it, even of a SystemExit
        future.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
    else:
        future.set_result(result)


def _shut_result(future: Future[T]) -> None:
    """What a start still brought after it was given up."""
    if future.exception() is None:
        future.result().shut()
