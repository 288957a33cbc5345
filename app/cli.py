"""The command line: `run` reads the arguments, runs one command and turns every error into one line and an exit code.

Invariant: nobody sees a traceback. Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer
from typer.exceptions import TyperException

from app.backend.errors import BadInput, ColloquyError, NotFound
from app.commands import ask, backup, checks, doctor, export, ingest, methods, score, serve, user
from app.commands.common import note

DEFAULT = "serve"

app = typer.Typer(
    name="launch.py",
    help="Colloquy: retrieval-augmented generation for many people at once. Without a command it serves the page.",
    epilog="With --no-setup, anywhere, nothing is ever installed.",
    add_completion=False,
    rich_markup_mode=None,
)
app.command()(serve.serve)
app.command()(ingest.ingest)
app.command()(ask.ask)
app.command()(methods.methods)
app.command()(serve.retrieval)
app.command()(score.score)
app.command()(backup.backup)
app.command()(export.export)
app.add_typer(user.app, name="user")
app.command()(doctor.doctor)
app.command()(checks.check)
app.command("test")(checks.run_tests)


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    words = list(arguments)
    if not words or (words[0].startswith("-") and words[0] != "--help"):
        words.insert(0, DEFAULT)
    try:
        return int(app(args=words, prog_name="launch.py", standalone_mode=False) or 0)
    except TyperException as error:
        note(f"{error.format_message().rstrip('.')}. See `python launch.py {_help_for(words)}--help`.")
        return error.exit_code
    except ColloquyError as error:
        note(error.message)
        return 2 if isinstance(error, BadInput | NotFound) else 1
    except KeyboardInterrupt:
        note("Interrupted.")
        return 130
    except Exception as error:  # noqa: BLE001  whatever else: one line for the user, all of it in a file
        note(f"Something went wrong that should not ({type(error).__name__}); the details are in {_write_report()}.")
        return 1


def _help_for(words: Sequence[str]) -> str:
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    return f"{words[0]} " if words[0] in names else ""


def _write_report() -> Path:
    """The traceback that is being handled, in a file that no other user can read."""
    folder = Path(tempfile.mkdtemp(prefix="colloquy-"))
    report = folder / f"error-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    report.write_text(f"{sys.argv}\n{traceback.format_exc()}", encoding="utf-8")
    return report
