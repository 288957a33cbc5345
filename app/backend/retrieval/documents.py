"""Files to passages: FlashRAG's JSONL as it is, documents cut at their headings and then at paragraphs and sentences.

Invariant: nothing is fetched from the network and no more than one document, or one line, is in memory at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from app.backend.errors import BadInput
from app.backend.retrieval.corpus import contents_of, split_contents
from app.backend.text import language

if TYPE_CHECKING:
    from chonkie import RecursiveChunker
    from markitdown import MarkItDown

JSON_LINES = frozenset({".jsonl", ".ndjson"})
TEXT = frozenset({".md", ".markdown", ".txt", ".text", ".rst"})
CONVERTED = frozenset({".html", ".htm", ".pdf", ".docx"})
KINDS = JSON_LINES | TEXT | CONVERTED
_BEGINS = {".pdf": b"%PDF-", ".docx": b"PK"}
"""Without a look at these, rubbish would be read as plain text."""
_LONGEST_LINE = 4 << 20
_CHUNK_CHARS = {"en": 1000, "zh": 360, "other": 1000}
"""About 160 words."""
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Draft:
    """A passage to be. `where` is `file:line` or the file, as it was given."""

    id: str
    title: str
    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was left out, and why."""

    where: str
    reason: str


def expand(paths: list[Path]) -> list[Path]:
    """The files themselves, and for a folder all files in it that can be read, sorted.

    Raises BadInput at once when one is missing or of a kind that can't be read.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in KINDS)
        elif not path.is_file():
            raise BadInput(f"{path} does not exist.")
        elif path.suffix.lower() not in KINDS:
            kinds = ", ".join(sorted(kind[1:] for kind in KINDS))
            raise BadInput(f"{path}: can't read this kind of file; give one of {kinds}.")
        else:
            files.append(path)
    if not files:
        raise BadInput("There is no file to ingest; name files, or a folder that has some.")
    return files


def read(files: list[Path]) -> Iterator[Draft | Problem]:
    """The passages of all files, in order."""
    taken: dict[str, int] = {}
    for file in files:
        if file.suffix.lower() in JSON_LINES:
            yield from _json_lines(file)
        else:
            taken[file.stem] = taken.get(file.stem, 0) + 1
            name = file.stem if taken[file.stem] == 1 else f"{file.stem}~{taken[file.stem]}"
            yield from _document(file, name)


def _json_lines(path: Path) -> Iterator[Draft | Problem]:
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), start=1):
            where = f"{path}:{number}"
            if line.strip():
                yield _record(line, where)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines without their break. One that is too long comes cut, one byte over the limit."""
    while line := file.readline(_LONGEST_LINE + 1):
        rest = line
        while len(rest) > _LONGEST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST_LINE + 1)
        yield line.rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf")


def _record(line: bytes, where: str) -> Draft | Problem:
    if len(line) > _LONGEST_LINE:
        return Problem(where, f"the line is longer than {_LONGEST_LINE >> 20} MiB")
    try:
        record = json.loads(line)
    except UnicodeDecodeError:
        return Problem(where, "the line is not UTF-8")
    except ValueError as error:
        return Problem(where, f"the line is not JSON ({str(error).split(':')[0]})")
    except RecursionError:
        return Problem(where, "the line is not a JSON object that can be read (too many brackets)")
    if not isinstance(record, dict):
        return Problem(where, "the line is not a JSON object")
    identity = record.get("id")
    if not isinstance(identity, str | int) or isinstance(identity, bool) or str(identity).strip() == "":
        return Problem(where, 'the line has no "id"')
    title, text = split_contents(contents_of(record))
    if not text:
        return Problem(where, 'the line has no text in "contents"')
    return Draft(str(identity), title, text, where)


def _document(path: Path, name: str) -> Iterator[Draft | Problem]:
    try:
        text = _markdown(path)
    except UnicodeDecodeError:
        yield Problem(str(path), "the file is not UTF-8 text")
        return
    except BadInput as error:
        yield Problem(str(path), error.message)
        return
    except Exception as error:  # noqa: BLE001 (the parsers of documents raise whatever they like)
        yield Problem(str(path), f"the file can't be converted ({type(error).__name__})")
        return
    marked = path.suffix.lower() not in {".txt", ".text", ".rst"}
    count = 0
    for title, section in _sections(text, path.stem) if marked else [(path.stem, text)]:
        for chunk in _chunks(section):
            count += 1
            yield Draft(f"{name}-{count}", title, chunk, str(path))
    if count == 0:
        yield Problem(str(path), "there is no text in the file")


def _markdown(path: Path) -> str:
    if path.suffix.lower() in CONVERTED:
        with path.open("rb") as file:
            if _BEGINS.get(path.suffix.lower(), b"") not in file.read(1024):
                raise BadInput(f"the file is no {path.suffix[1:].upper()}")
        return str(_converter().convert_local(path).text_content)
    return path.read_text("utf-8-sig")


@lru_cache(maxsize=1)
def _converter() -> MarkItDown:
    from markitdown import MarkItDown

    return MarkItDown(enable_plugins=False)


def _sections(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Each heading's own text, titled with the first heading (or the file's name) and the heading itself."""
    document, title, lines, fenced = "", name, [], False
    for line in text.splitlines():
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.match(line)
        if heading is None:
            lines.append(_LINK.sub(r"\1", line))
            continue
        yield title, "\n".join(lines)
        said = _LINK.sub(r"\1", heading[2]).strip("*_ ")
        document = document or said
        title, lines = (document if said == document else f"{document}: {said}"), []
    yield title, "\n".join(lines)


def _chunks(text: str) -> list[str]:
    text = text.strip()
    limit = _CHUNK_CHARS[language(text)]
    if len(text) <= limit:
        return [text] if text else []
    return [piece for chunk in _chunker(limit).chunk(text) if (piece := chunk.text.strip())]


@lru_cache(maxsize=2)
def _chunker(limit: int) -> RecursiveChunker:
    from chonkie import RecursiveChunker, RecursiveRules
    from chonkie.types import RecursiveLevel

    levels = [
        RecursiveLevel(delimiters=["\n\n"]),
        RecursiveLevel(delimiters=["\n"]),
        RecursiveLevel(delimiters=[". ", "! ", "? ", "。", "！", "？", "；"]),
        RecursiveLevel(delimiters=["; ", ", ", "，", "、"]),
        RecursiveLevel(whitespace=True),
        RecursiveLevel(),
    ]
    return RecursiveChunker("character", limit, RecursiveRules(levels), min_characters_per_chunk=1)
