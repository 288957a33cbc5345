"""Questions to ask, read from what a person gave: FlashRAG's dataset lines, or plain text with one question a line.

Invariant: a line that cannot be asked is named, with the file; then nothing of the file is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

from app.backend.batches.records import Asked
from app.backend.errors import BadInput
from app.backend.experiments.items import golden_answers
from app.backend.text import is_blank

MOST_QUESTIONS = 1_000
MOST_CHARS = 1_500_000
MOST_GOLDEN = 20
GOLDEN_CHARS = 1_000
_HALF = re.compile("[\ud800-\udfff]")
NAMED = 3
"""So many bad lines are named in the error; of the others it gives the number."""


def read_questions(name: str, text: str, check: Callable[[str], str]) -> tuple[Asked, ...]:
    """The questions of the file `name`, in its order. `check` gives a question as it will be asked, or raises BadInput.

    JSON is what is called .json or .jsonl, or begins like it; `golden_answers` may be missing there.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MOST_CHARS:
        raise BadInput(f"{name} has {len(text):,} characters; give a file of at most {MOST_CHARS:,}.")
    records = _json(name, text) if _is_json(name, text) else _plain(text)
    found: list[Asked] = []
    wrong: list[str] = []
    for where, record in records:
        try:
            found.append(_asked(record, where, check))
        except BadInput as error:
            wrong.append(error.message)
        if len(found) > MOST_QUESTIONS:
            raise BadInput(f"{name} has more than {MOST_QUESTIONS:,} questions; give fewer at once.")
    if wrong:
        more = f" And {len(wrong) - NAMED} more lines are wrong." if len(wrong) > NAMED else ""
        raise BadInput(f"{name}: {' '.join(wrong[:NAMED])}{more}")
    if not found:
        raise BadInput(f"{name} has no questions; give one a line, or FlashRAG's JSON lines.")
    return tuple(found)


def _is_json(name: str, text: str) -> bool:
    return name.lower().endswith((".json", ".jsonl")) or text.lstrip()[:1] in ("{", "[")


def _plain(text: str) -> Iterator[tuple[str, object]]:
    return ((f"Line {n}", {"question": line}) for n, line in enumerate(text.splitlines(), 1) if line.strip())


def _json(name: str, text: str) -> Iterator[tuple[str, object]]:
    """Each record with its place; a line that is no JSON is given as the error."""
    if text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{name} is not valid JSON; give one object a line.") from error
        yield from ((f"Item {n}", record) for n, record in enumerate(records, 1))
        return
    for n, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield f"Line {n}", json.loads(line)
        except (ValueError, RecursionError):
            yield f"Line {n}", BadInput(f"Line {n} is not valid JSON.")


def _asked(record: object, where: str, check: Callable[[str], str]) -> Asked:
    if isinstance(record, BadInput):
        raise record
    if not isinstance(record, Mapping):
        raise BadInput(f"{where} is no object with a `question`.")
    question = record.get("question")
    if not isinstance(question, str) or is_blank(question):
        raise BadInput(f"{where} has no text `question`.")
    try:
        question = check(question)
    except BadInput as error:
        raise BadInput(f"{where}: {error.message}") from error
    given = record.get("golden_answers")
    golden = golden_answers(record, where) if given not in (None, [], "") else ()
    golden = tuple(answer for answer in golden if answer.strip())
    if len(golden) > MOST_GOLDEN:
        raise BadInput(f"{where} has {len(golden):,} right answers; give at most {MOST_GOLDEN}.")
    if any(len(answer) > GOLDEN_CHARS for answer in golden):
        raise BadInput(f"{where} has a right answer of more than {GOLDEN_CHARS:,} characters; give a shorter one.")
    if _HALF.search("".join((question, " ", *golden))):
        raise BadInput(f"{where} has half a character (a lone surrogate); write it whole or leave it out.")
    return Asked(question, golden)
