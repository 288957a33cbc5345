"""Reads a YAML file of settings.

Invariant: whatever is in the file, the answer is a mapping with text for keys or one BadInput sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from app.backend.errors import BadInput


def read_mapping(path: Path) -> Mapping[str, object]:
    """The mapping in the file; empty for an empty file."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        odd = _no_name(values)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} cannot be read as UTF-8 text: {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise BadInput(f"{path.name} is not valid YAML{where}; check the indentation and quotes there.") from error
    except ValueError as error:
        raise BadInput(f"{path.name} has a value that cannot be read ({error}); put it in quotes.") from error
    except AttributeError as error:  # PyYAML's answer to a `!!timestamp` that is none
        raise BadInput(f"{path.name} has a date that cannot be read; put it in quotes.") from error
    except RecursionError as error:
        raise BadInput(f"{path.name} has too many brackets in one another; settings have two levels.") from error
    if not isinstance(values, dict | None):
        raise BadInput(f"{path.name} must be a mapping of setting names to values, such as `server: {{port: 8080}}`.")
    if odd is not None:
        raise BadInput(f"{path.name} has {odd} where the name of a setting must be, such as `server: {{port: 8080}}`.")
    return values or {}


def _no_name(values: object) -> str | None:
    """The first key that is no text, or text with half a character, on any level."""
    if not isinstance(values, dict):
        return None
    below = (_no_name(value) if isinstance(key, str) and _whole(key) else ascii(key) for key, value in values.items())
    return next((odd for odd in below if odd is not None), None)


def _whole(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)
