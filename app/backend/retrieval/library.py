"""The corpora that can be searched: which version of each is open, and the demo corpus while it is being built.

Invariant: a version that is opened stays usable until its last search has ended; a newer one is opened beside it, and
one that cannot be opened is refused with its reason while the older one goes on. What is on disk is known from a look
that a thread takes every second, so that no question waits for the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.backend.errors import BadInput, ColloquyError, NotFound, Unavailable
from app.backend.retrieval import corpus as disk
from app.backend.retrieval.build import Progress
from app.backend.retrieval.encoder import Encoder
from app.backend.retrieval.opened import Opened, open_corpus
from app.backend.retrieval.threads import failure, in_thread
from app.backend.types import CorpusInfo
from app.settings import RetrievalSettings

log = logging.getLogger(__name__)
LOOK_S = 1.0
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Demo:
    """A corpus that is built when it is missing. `info` is shown until then."""

    info: CorpusInfo
    build: Callable[[Encoder | None, Progress], None]


@dataclass(frozen=True, slots=True)
class Listed:
    """The version of a corpus that is current on disk; `info` is None when its manifest cannot be read."""

    version: str
    info: CorpusInfo | None


class Library:
    """The corpora in a folder. `start` opens what is there and builds the demo corpus, which waits for the encoder."""

    def __init__(self, settings: RetrievalSettings, folder: Path, demo: Demo | None) -> None:
        self.folder = folder
        self._settings = settings
        self._demo = demo
        self._opened: dict[str, Opened] = {}
        self._opening: dict[str, asyncio.Task[Opened]] = {}
        self._refused: dict[str, tuple[str, str]] = {}
        self._listed: dict[str, Listed] = {}
        self._looking: asyncio.Task[None] | None = None
        self._look()
        self._first: asyncio.Task[None] | None = None
        self._demo_built: asyncio.Task[None] | None = None

    def start(self, encoder: asyncio.Task[Encoder] | None, tell: Tell) -> None:
        """`tell` hears how far the demo corpus is."""
        self._looking = asyncio.create_task(self._keep_looking())
        self._first = asyncio.create_task(self._open_all())
        self._demo_built = asyncio.create_task(self._build_first(self._demo, encoder, tell)) if self._demo else None

    async def aclose(self) -> None:
        tasks = (self._looking, self._first, self._demo_built, *self._opening.values())
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @property
    def ready(self) -> bool:
        """Whether all that was there at the start is open, and the demo corpus is built."""
        return all(task is None or task.done() for task in (self._first, self._demo_built))

    @property
    def refused(self) -> str:
        """Why corpora cannot be used, in sentences."""
        return " ".join(message for _, message in self._refused.values())

    def corpora(self) -> tuple[CorpusInfo, ...]:
        found = []
        for name, listed in sorted(self._listed.items()):
            opened = self._opened.get(name)
            if opened and (opened.version == listed.version or name in self._refused):
                found.append(opened.manifest.info())
            elif name not in self._refused and listed.info:
                found.append(listed.info)
        if self._demo is not None and self._demo.info.name not in {info.name for info in found} | self._refused.keys():
            found.append(self._demo.info)
        return tuple(found)

    async def get(self, name: str) -> Opened:
        """The newest version that is open; a newer one on disk is opened beside it."""
        if self._demo_built is not None and self._is_demo(name) and name not in self._opened:
            await asyncio.shield(self._demo_built)
        refused_version, reason = self._refused.get(name, ("", ""))
        listed = self._listed.get(name)
        if listed is None or listed.version == refused_version:  # unless it came, or was built again, within the second
            version = (await asyncio.to_thread(disk.current, self.folder, name)).name
        else:
            version = listed.version
        opened = self._opened.get(name)
        if opened is not None and opened.version == version:
            return opened
        if refused_version == version:
            if opened is None:
                raise Unavailable(reason)
            return opened
        task = self._opening.get(name)
        if task is None:
            task = self._opening[name] = asyncio.create_task(self._open(name))
            task.add_done_callback(failure)
        return opened if opened is not None else await asyncio.shield(task)

    async def _open(self, name: str) -> Opened:
        version = ""
        try:
            for attempt in range(2):  # a version may be swept away by a newer one between finding and opening it
                path = await asyncio.to_thread(disk.current, self.folder, name)
                version = path.name
                try:
                    opened = await in_thread(lambda path=path: open_corpus(path, self._settings))  # type: ignore[misc]
                    break
                except BadInput:
                    if attempt or await asyncio.to_thread(disk.current, self.folder, name) == path:
                        raise
            self._refused.pop(name, None)
            self._opened[name] = opened
            self._listed = {**self._listed, name: Listed(version, opened.manifest.info())}
            return opened
        except NotFound:
            raise
        except Exception as error:
            message = f"Corpus {name!r} cannot be opened; the server's log says why."
            if isinstance(error, ColloquyError):
                message = error.message
                log.error("%s", message)
            else:
                log.exception("corpus %s cannot be opened", name)
            self._refused[name] = (version, message)
            raise Unavailable(message) from error
        finally:
            self._opening.pop(name, None)

    async def _open_all(self) -> None:
        await asyncio.to_thread(self._look)
        there = [name for name in self._listed if not self._is_demo(name)]
        await asyncio.gather(*(self.get(name) for name in there), return_exceptions=True)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await asyncio.to_thread(self._look)
            except Exception:
                log.exception("a look at the corpora failed")

    def _look(self) -> None:
        """See which versions are current; a manifest is read once, because a version never changes."""
        found, before = {}, self._listed
        try:
            for name in disk.names(self.folder):
                with suppress(NotFound):  # it goes just now
                    version = disk.current(self.folder, name)
                    known = before.get(name)
                    found[name] = known if known and known.version == version.name else _read(version)
        except OSError as error:
            log.warning("the corpora cannot be listed: %s", error.strerror or type(error).__name__)
        else:
            self._listed = found

    def _is_demo(self, name: str) -> bool:
        return self._demo is not None and self._demo.info.name == name

    async def encoder_came_late(self, encoder: Encoder, tell: Tell) -> None:
        """Give the demo corpus the vectors that it was built without."""
        if self._demo is not None:
            await self._build_demo(self._demo, encoder, tell)

    async def _build_first(self, demo: Demo, encoder: asyncio.Task[Encoder] | None, tell: Tell) -> None:
        """Build it with the encoder, or without one if it doesn't come up."""
        loaded = None
        if encoder is not None:
            await asyncio.wait([encoder])
            loaded = None if failure(encoder) else encoder.result()
        await self._build_demo(demo, loaded, tell)

    async def _build_demo(self, demo: Demo, loaded: Encoder | None, tell: Tell) -> None:
        """A failure leaves the rest working."""

        def progress(phase: str, done: int, total: int | None) -> None:
            tell(f"Building the demo corpus: {phase}, {done} of {total or 'many'} passages.")

        name = demo.info.name
        try:
            await in_thread(lambda: demo.build(loaded, progress))
        except ColloquyError as error:
            log.error("the demo corpus could not be built: %s", error.message)
            self._refused[name] = ("", error.message)
            return
        except Exception:
            log.exception("the demo corpus could not be built")
            self._refused[name] = ("", "The demo corpus could not be built; the server's log says why.")
            return
        with suppress(Unavailable):  # logged and kept by `_open`
            await self._open(name)


def _read(version: Path) -> Listed:
    try:
        return Listed(version.name, disk.read_manifest(version).info())
    except ColloquyError as error:
        log.warning("corpus %s is left out: %s", version.parent.name, error.message)
        return Listed(version.name, None)
