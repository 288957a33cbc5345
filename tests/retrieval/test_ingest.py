"""Building a corpus: all or nothing, and every line that is left out is named."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from app.backend.errors import BadInput, Busy, StoreError
from app.backend.retrieval import corpus as disk
from app.backend.retrieval.build import BLOCK
from app.backend.retrieval.documents import Problem
from app.backend.retrieval.ingest import ingest, ingest_index
from tests.retrieval.conftest import PASSAGES, CountingEncoder, World

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[2]
BROKEN = [
    '{"id": "good", "contents": "Title\\nText"}',
    '{"id": "cut", "contents": "Tit',
    "[1, 2]",
    '{"contents": "no id"}',
    '{"id": "empty", "contents": "  "}',
    "",
    '{"id": "good", "contents": "Again\\nTwice"}',
    '{"id": 7, "title": "Number", "text": "an id that is a number"}',
]


def stored(world: World, name: str = "small") -> list[tuple[str, str, str]]:
    return list(disk.Passages(disk.current(world.corpora, name)))


def versions(world: World, name: str = "small") -> list[str]:
    return sorted(path.name for path in (world.corpora / name).iterdir() if path.is_dir())


async def test_what_was_ingested_is_reported_and_read_back_as_it_was(world: World) -> None:
    report = world.build()
    assert (report.passages, report.skipped, report.encoder, report.dims) == (4, 0, "counting", 32)
    assert set(report.languages) == {"en", "zh"}
    assert stored(world) == PASSAGES


def test_broken_lines_are_named_and_left_out(world: World) -> None:
    report = world.build(lines=BROKEN)
    small = world.folder / "small.jsonl"
    assert [identity for identity, _, _ in stored(world)] == ["good", "7"]
    assert stored(world)[1] == ("7", "Number", "an id that is a number")
    assert report.skipped == 5
    assert report.problems == (
        Problem(f"{small}:2", "the line is not JSON (Unterminated string starting at)"),
        Problem(f"{small}:3", "the line is not a JSON object"),
        Problem(f"{small}:4", 'the line has no "id"'),
        Problem(f"{small}:5", 'the line has no text in "contents"'),
        Problem(f"{small}:7", "the id 'good' was used before"),
    )


def test_strict_stops_at_the_first_broken_line_and_the_old_corpus_stays(world: World) -> None:
    version = world.build().version
    with pytest.raises(BadInput, match=r"broken\.jsonl:2: .*Nothing was changed"):
        ingest(
            world.settings,
            "small",
            [world.write("broken.jsonl", BROKEN)],
            strict=True,
            open_encoder=lambda: world.encoder,
        )
    assert versions(world) == [version] and stored(world) == PASSAGES


def test_a_line_without_end_and_bytes_that_are_no_text_do_not_stop_it(world: World) -> None:
    path = world.folder / "odd.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"id": "a", "contents": "first"}\r\n'
        + b'{"id": "long", "contents": "' + b"x" * (5 << 20) + b'"}\n'
        + b'{"id": "\xff", "contents": "bad"}\n'
        + b'{"id": "b", "contents": "last"}'
    )  # fmt: skip
    report = ingest(world.settings, "odd", [path], open_encoder=lambda: None)
    assert stored(world, "odd") == [("a", "", "first"), ("b", "", "last")]
    assert [problem.where for problem in report.problems] == [f"{path}:2", f"{path}:3"]


def test_a_document_in_neither_of_the_known_languages_is_told_as_such(world: World) -> None:
    page = world.folder / "page.md"
    page.write_text("# Панды\n\n" + "Панды едят бамбук. " * 100)
    report = ingest(world.settings, "pandas", [page], open_encoder=lambda: None)
    assert (report.languages, report.skipped) == (("other",), 0)


def test_a_line_of_brackets_alone_is_a_broken_line_like_any_other(world: World) -> None:
    lines = [PASSAGES[0], "[" * 100_000, '{"a":' * 100_000]
    small = world.folder / "small.jsonl"
    assert [problem.where for problem in world.build(lines=lines).problems] == [f"{small}:2", f"{small}:3"]
    with pytest.raises(BadInput, match=r"/deep\.jsonl:2: every line must be JSON"):
        ingest_index(world.settings, "deep", world.write("deep.jsonl", lines), open_encoder=lambda: world.encoder)


@pytest.mark.parametrize("lines", [[""], ["nonsense"]])
def test_a_file_without_a_passage_is_refused(world: World, lines: list[str]) -> None:
    with pytest.raises(BadInput, match="No passage"):
        world.build(lines=lines)
    assert disk.names(world.corpora) == []


def test_a_missing_file_and_an_unknown_kind_are_refused_before_anything_is_made(world: World) -> None:
    (world.folder / "x.exe").write_text("x")
    for path, said in ((world.folder / "none.jsonl", "does not exist"), (world.folder / "x.exe", "kind of file")):
        with pytest.raises(BadInput, match=said):
            ingest(world.settings, "small", [path])
    assert not world.corpora.exists()


def test_a_build_that_fails_midway_leaves_the_old_corpus_and_nothing_else(world: World) -> None:
    version = world.build().version

    class Failing(CountingEncoder):
        def encode_passages(self, texts):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        ingest(world.settings, "small", [world.write("new.jsonl", PASSAGES[:1])], open_encoder=Failing)
    assert versions(world) == [version] and stored(world) == PASSAGES


def test_a_disk_that_fails_is_one_sentence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    version = world.build().version

    def full(version: Path, manifest: disk.Manifest) -> disk.Manifest:
        raise OSError(28, "No space left on device", str(version))

    monkeypatch.setattr(disk, "write_manifest", full)
    with pytest.raises(StoreError, match="No space left on device") as refused:
        world.build(lines=PASSAGES[:1])
    assert str(world.folder) not in refused.value.message
    assert versions(world) == [version]


KILLED = """
import sys, threading
from pathlib import Path
from app.backend.retrieval.ingest import ingest
from app.settings import Settings
from tests.retrieval.conftest import CountingEncoder

def stop(phase, done, total):
    if phase == sys.argv[2]:
        print("here", flush=True)
        threading.Event().wait()

folder = Path(sys.argv[1])
ingest(Settings(data=folder / "data"), "small", [folder / "new.jsonl"], open_encoder=CountingEncoder, on_progress=stop)
"""


@pytest.mark.parametrize("phase", ["encode", "check"])
async def test_a_build_that_is_killed_leaves_the_old_corpus_and_the_next_one_sweeps_up(
    world: World, phase: str
) -> None:
    version = world.build().version
    world.write("new.jsonl", PASSAGES[:2])
    command = [sys.executable, "-c", KILLED, str(world.folder), phase]
    building = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert building.stdout is not None and await building.stdout.readline() == b"here\n"
    with pytest.raises(Busy, match="another process"):
        world.build()
    building.kill()
    await building.wait()
    assert len(versions(world)) == 2, "the test needs something left behind"
    assert stored(world) == PASSAGES
    async with world.retriever() as retriever:
        assert (await retriever.search("bees", corpus="small", top_k=1))[0].id == "bees"
    newer = world.build(lines=PASSAGES[:1]).version
    assert newer != version and versions(world) == [newer]


def test_progress_counts_every_phase_to_its_end(world: World) -> None:
    told: list[tuple[str, int, int | None]] = []
    count = 2 * BLOCK + 5
    path = world.write("many.jsonl", [(str(n), "", f"passage {n}") for n in range(count)])
    ingest(
        world.settings,
        "many",
        [path],
        open_encoder=lambda: world.encoder,
        on_progress=lambda *told_now: told.append(told_now),
    )
    assert list(dict.fromkeys(phase for phase, _, _ in told)) == ["read", "load encoder", "encode", "words", "check"]
    for phase in ("encode", "words"):
        assert [entry for entry in told if entry[0] == phase][-1] == (phase, count, count)


@pytest.mark.process
def test_a_bigger_corpus_does_not_need_more_memory(world: World) -> None:
    words = [f"word{number}" for number in range(2000)]
    chance = random.Random(3)

    def peak(count: int) -> int:
        path = world.write("big.jsonl", [(str(n), "", " ".join(chance.choices(words, k=200))) for n in range(count)])
        tracemalloc.start()
        try:
            ingest(world.settings, "big", [path], open_encoder=lambda: world.encoder)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    small, large = peak(BLOCK), peak(4 * BLOCK)
    assert large - small < 3 * BLOCK * 150, "more than 150 bytes for a passage of 1.5 kB"


@pytest.mark.process
def test_the_vectors_of_a_corpus_are_never_in_memory_together(world: World) -> None:
    count, dims = 16 * BLOCK, 4096
    path = world.write("wide.jsonl", [(str(n), "", "word") for n in range(count)])
    held: list[int] = []

    class Wide(CountingEncoder):
        def encode_passages(self, texts):
            return np.ones((len(texts), self.dims), dtype=np.float32)

    def watch(phase: str, done: int, total: int | None) -> None:
        if phase == "encode":
            resident = int(Path("/proc/self/statm").read_text().split()[1])
            held.append(resident * os.sysconf("SC_PAGE_SIZE"))

    ingest(world.settings, "wide", [path], open_encoder=lambda: Wide(dims), on_progress=watch)
    grown = held[-1] - held[1]  # from the first block on, which loads libraries
    assert grown < count * dims * 4 / 4, "more than a quarter of the vectors"


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "x" * 65, "with space"])
def test_a_name_that_leaves_the_folder_is_refused(world: World, name: str) -> None:
    with pytest.raises(BadInput, match="name a corpus"):
        ingest(world.settings, name, [world.write("x.jsonl", PASSAGES)], open_encoder=lambda: None)


def test_the_manifest_vouches_for_every_file(world: World) -> None:
    world.build()
    version = disk.current(world.corpora, "small")
    manifest = json.loads((version / disk.MANIFEST).read_text())
    there = {path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file()}
    assert there == {*manifest["files"], disk.MANIFEST}
    assert all(mark["sha256"] for mark in manifest["files"].values())
