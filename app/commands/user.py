"""`user`: accounts, also while a server runs on the same data folder.

Invariant: a password is read from the terminal or from standard input, never from the arguments, which others can see.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.backend.errors import BadInput
from app.commands.common import Config, Data, Json, Profile, emit, read_settings, say

if TYPE_CHECKING:
    from app.backend.storage.accounts import Role
    from app.settings import Settings

app = typer.Typer(name="user", help="Accounts: add, list, disable, enable; new passwords.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="The name to log in with.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Link = Annotated[bool, typer.Option("--link", help="Print a link with which the user sets the password.")]


@app.command()
def add(
    name: Name,
    admin: Annotated[bool, typer.Option("--admin", help="May operate the server.")] = False,
    password_stdin: FromStdin = False,
    link: Link = False,
    data: Data = None,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Make an account. The password is asked for here, unless a link is to ask the user for it."""
    from app.backend.accounts import membership
    from app.backend.accounts.passwords import checked_name

    settings = read_settings(data, config, profile)
    database = settings.data / "colloquy.db"
    name = checked_name(name)
    role: Role = "admin" if admin else "user"
    result: dict[str, object] = {"name": name, "role": role}
    if link:
        result |= _tell_link(membership.add_invited(database, name, role), settings)
    else:
        membership.add(database, name, role, _password(password_stdin))
        say(f"{name} can log in, as {'an' if admin else 'a'} {role}.")
    if as_json:
        emit(result)


@app.command()
def password(
    name: Name,
    password_stdin: FromStdin = False,
    link: Link = False,
    data: Data = None,
    config: Config = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Set a new password; the account is logged out everywhere, and its API keys are revoked."""
    from app.backend.accounts import membership

    settings = read_settings(data, config, profile)
    database = settings.data / "colloquy.db"
    result: dict[str, object] = {"name": name}
    if link:
        result |= _tell_link(membership.new_code(database, name), settings)
    else:
        membership.set_password(database, name, _password(password_stdin))
        say(f"{name} has a new password, is logged out everywhere, and its API keys are revoked.")
    if as_json:
        emit(result)


@app.command()
def disable(
    name: Name, data: Data = None, config: Config = None, profile: Profile = None, as_json: Json = False
) -> None:
    """Lock an account out, at once, with its sessions and API keys. What it has written stays."""
    _switch(name, True, _database(data, config, profile), as_json)


@app.command()
def enable(
    name: Name, data: Data = None, config: Config = None, profile: Profile = None, as_json: Json = False
) -> None:
    """Let a disabled account in again."""
    _switch(name, False, _database(data, config, profile), as_json)


@app.command("list")
def listing(data: Data = None, config: Config = None, profile: Profile = None, as_json: Json = False) -> None:
    """Show all accounts."""
    from app.backend.accounts import membership

    found = membership.listing(_database(data, config, profile))
    for account in found:
        state = "disabled" if account.disabled else "" if account.ready else "no password yet"
        say(f"{account.name:<24} {account.role:<6} {state}".rstrip())
    if as_json:
        emit({"users": [asdict(account) for account in found]})


def _switch(name: str, disabled: bool, database: Path, as_json: bool) -> None:
    from app.backend.accounts import membership

    account = membership.set_disabled(database, name, disabled)
    say(f"{account.name} is {'locked out' if disabled else 'let in again'}.")
    if as_json:
        emit({"name": account.name, "disabled": account.disabled})


def _database(data: Path | None, config: Path | None, profile: str | None) -> Path:
    return read_settings(data, config, profile).data / "colloquy.db"


def _password(from_stdin: bool) -> str:
    if from_stdin:
        try:
            line = sys.stdin.readline().rstrip("\r\n")
            line.encode()  # some locales read any byte, as what cannot be written again
        except UnicodeError as error:
            raise BadInput("The password on standard input is not UTF-8 text; send it in that encoding.") from error
        return line
    if not sys.stdin.isatty():
        raise BadInput("There is no terminal to ask for a password; use --password-stdin, or --link.")
    from app.backend.accounts.passwords import MIN_CHARS

    asked = f"Password, at least {MIN_CHARS} characters"
    return str(typer.prompt(asked, hide_input=True, confirmation_prompt="Once more", err=True))


def _tell_link(code: str, settings: Settings) -> dict[str, str]:
    """The whole link, where the address is known: of the server that runs, or of the host that is named."""
    from app.startup import elsewhere, running

    path = f"/join?code={code}"
    if server := running(settings.data):
        base = server.elsewhere or server.url
    else:
        base = elsewhere(settings.server, settings.server.port) if settings.server.hosts else ""
    if base:
        say(f"Send this link; it works once, within a week: {base}{path}")
        return {"path": path, "url": base + path}
    say(f"Send this, after the address of the server; it works once, within a week: {path}")
    return {"path": path}
