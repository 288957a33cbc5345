"""Building a corpus: read, encode, index, and switch to it in one step.

Invariant: until the very last rename the old version serves untouched; whatever goes wrong before leaves nothing behind
that the next build doesn't sweep away.
"""

from __future__ import annotations

import fcntl
import logging
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from app.backend.errors import BadInput, Busy, NotFound, StoreError
from app.backend.retrieval import corpus as disk
from app.backend.retrieval.build import Build, Progress, Report
from app.backend.retrieval.documents import expand, read
from app.backend.retrieval.encoder import Encoder, load_encoder
from app.backend.text import WORDS
from app.settings import Settings

log = logging.getLogger(__name__)

OpenEncoder = Callable[[], Encoder | None]

_DEMO = "demo:"
DEMO_DESCRIPTION = "What Colloquy knows out of the box"


def corpora_folder(settings: Settings) -> Path:
    """Where the corpora are kept."""
    return settings.data / "corpora"


def encoder_for(settings: Settings) -> Encoder | None:
    """The encoder the settings ask for."""
    from app.backend.engines.models import resolve_model

    if not settings.retrieval.encoder:
        return None
    weights = resolve_model(settings.retrieval.encoder, settings.data / "models", log.info)
    return load_encoder(settings.retrieval, weights)


def ingest(
    settings: Settings,
    name: str,
    files: list[Path],
    *,
    strict: bool = False,
    description: str = "",
    on_progress: Progress = lambda phase, done, total: None,
    open_encoder: OpenEncoder | None = None,
    source: str = "files",
    wait: bool = False,
) -> Report:
    """Build corpus `name` from files and folders, and serve it.

    What can't be read is reported and left out; with `strict` it stops the build.
    Raises BadInput with the first problem (strict, no passage at all, unknown kind of file), Busy when another process
    builds this corpus (unless `wait`), StoreError when the disk fails. In every case the old corpus still serves.
    """
    readable = expand(files)
    with _new_version(corpora_folder(settings), name, wait) as version:
        build = Build(version, on_progress)
        build.write_passages(read(readable), strict)
        on_progress("load encoder", 0, None)
        build.encode(encoder_for(settings) if open_encoder is None else open_encoder())
        build.index_words()
        return build.finish(description, source)


def ingest_index(
    settings: Settings,
    name: str,
    corpus: Path,
    *,
    index: Path | None = None,
    bm25: Path | None = None,
    description: str = "",
    on_progress: Progress = lambda phase, done, total: None,
    open_encoder: OpenEncoder | None = None,
) -> Report:
    """Serve a FlashRAG corpus with the faiss index and the `bm25/` folder that exist for it, copied as they are.

    What isn't given is built. Raises BadInput when the parts don't belong together, and as `ingest` does.
    """
    for path in (corpus, index):
        if path is not None and not path.is_file():
            raise BadInput(f"{path} does not exist, or is no file.")
    if bm25 is not None and not bm25.is_dir():
        raise BadInput(f"{bm25} does not exist, or is no folder.")
    with _new_version(corpora_folder(settings), name, wait=False) as version:
        build = Build(version, on_progress)
        build.take_over(corpus, index, bm25)
        build.read_passages(corpus)
        if bm25 is not None:
            build.check_words(bm25)
        on_progress("load encoder", 0, None)
        encoder = encoder_for(settings) if open_encoder is None else open_encoder()
        if index is None:
            build.encode(encoder)
        else:
            build.check_vectors(index, encoder)
        if bm25 is None:
            build.index_words()
        return build.finish(description, "index")


def ensure_demo(settings: Settings, name: str, file: Path, encoder: Encoder | None, on_progress: Progress) -> None:
    """Build the demo corpus unless it is there already, whole, and made of this file with this encoder.

    Without an encoder any will do: it may be back tomorrow. A corpus of the same name that somebody built from other
    files is left alone.
    """
    source = _DEMO + disk.sha256(file)
    try:
        version = disk.current(corpora_folder(settings), name)
        manifest = disk.read_manifest(version)
        if not manifest.source.startswith(_DEMO):
            return
        wanted = encoder.id if encoder else manifest.encoder
        if (manifest.source, manifest.encoder, manifest.words) == (source, wanted, WORDS):
            disk.check_files(version, manifest)
            return
    except (NotFound, BadInput) as reason:
        log.info("building the demo corpus: %s", reason)
    ingest(
        settings,
        name,
        [file],
        description=DEMO_DESCRIPTION,
        on_progress=on_progress,
        open_encoder=lambda: encoder,
        source=source,
        wait=True,
    )


@contextmanager
def _new_version(corpora: Path, name: str, wait: bool) -> Iterator[Path]:
    """A fresh folder that is served from the end of the block on; gone if the block fails."""
    folder = disk.folder_of(corpora, name)
    try:
        corpora.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the data folder, if it is new
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            _take(lock.fileno(), name, wait)
            _sweep(folder)
            version = folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
            version.mkdir()
            try:
                yield version
                disk.make_current(version)
            finally:
                _sweep(folder)
    except OSError as error:
        log.exception("corpus %s could not be built", name)
        reason = error.strerror or type(error).__name__
        raise StoreError(f"Corpus {name!r} could not be built: {reason}. What was served before still is.") from error


def _take(lock: int, name: str, wait: bool) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise Busy(f"Corpus {name!r} is being built by another process; wait for it.") from None


def _sweep(folder: Path) -> None:
    """Remove every version but the one that is served."""
    try:
        kept = disk.current(folder.parent, folder.name).name
    except NotFound:
        kept = ""
    for path in folder.iterdir():
        if path.is_dir() and path.name != kept:
            shutil.rmtree(path, ignore_errors=True)
