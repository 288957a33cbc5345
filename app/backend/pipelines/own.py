"""A user's own methods: files named in the settings (`pipelines: {name: file.py}`), each with an `ENTRY` as ours have.

Invariant: what `load` returns can be registered; every mistake in a file is one sentence that names the file.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from app.backend.errors import BadInput
from app.backend.pipelines.params import Entry, GenerationParams

_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
MODULE = "colloquy_own_"


def load(files: Mapping[str, Path], taken: Collection[str]) -> dict[str, Entry]:
    """The entries of `files`, by name, in the family "own". Names that are `taken` are refused. Raises BadInput."""
    return {name: _entry(name, path, taken) for name, path in files.items()}


def _entry(name: str, path: Path, taken: Collection[str]) -> Entry:
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise BadInput(f"The pipeline name {name[:80]!r} must be lower-case letters, digits and single hyphens.")
    if name in taken:
        raise BadInput(f"The pipeline name {name!r} is taken by a method that comes with Colloquy; choose another.")
    module = _module(name, path)
    entry = getattr(module, "ENTRY", None)
    if not isinstance(entry, Entry):
        raise BadInput(f"The pipeline file {path} must define ENTRY = Entry(...); docs/methods.md shows a whole one.")
    if not inspect.isasyncgenfunction(entry.run):
        raise BadInput(f"The pipeline file {path} must give ENTRY a run that is an `async def` with `yield`.")
    if not (isinstance(entry.params, type) and issubclass(entry.params, GenerationParams)):
        raise BadInput(f"The pipeline file {path} must give ENTRY params that extend GenerationParams.")
    return replace(entry, family="own", title=_plain(entry.title), summary=_plain(entry.summary))


def _plain(text: str) -> str:
    """One line, without what cannot be seen, such as what turns writing around."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def _module(name: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"The pipeline {name!r} names the file {path}, which does not exist; correct its path.")
    spec = importlib.util.spec_from_file_location(MODULE + name.replace("-", "_"), path)
    if spec is None or spec.loader is None:
        raise BadInput(f"The pipeline file {path} must be a Python file, which ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where pydantic looks up the types of its annotations
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise BadInput(f"The pipeline file {path} has a syntax error in line {error.lineno}: {error.msg}.") from error
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"in line {lines[-1]}: " if lines else ""
        reason = " ".join(str(error).split())[:300]
        raise BadInput(f"The pipeline file {path} fails {where}{type(error).__name__}: {reason}.") from error
    return module
