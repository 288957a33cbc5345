"""Accounts from the command line: another process than the server's, on the same data folder.

Invariant: each is one short transaction, its line of the audit with it; a server that runs sees it at its next look.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from sqlite_utils import Database

from app.backend.accounts.passwords import check_password, checked_name, hash_now, key_of
from app.backend.accounts.records import Account
from app.backend.errors import NotFound
from app.backend.records import Deed
from app.backend.storage import accounts as store
from app.backend.storage import oversight
from app.backend.storage.accounts import INVITATION_S, Role
from app.backend.storage.visit import visit
from app.backend.types import Principal

OPERATOR = "command-line"


def add(database: Path, name: str, role: Role, password: str) -> Principal:
    """A new account that can log in. Raises BadField."""
    name = checked_name(name)
    check_password(password, name)
    hashed = hash_now(password)
    return visit(database, lambda db: _added(db, name, role, hashed))


def add_invited(database: Path, name: str, role: Role) -> str:
    """A new account, and the code with which its owner sets the password."""
    name = checked_name(name)
    return visit(database, lambda db: _code(db, role, _added(db, name, role, "").id))


def set_password(database: Path, name: str, password: str) -> None:
    """A new password, and an end to every session of the account. Raises NotFound, BadField."""
    check_password(password, name)
    hashed = hash_now(password)
    visit(database, lambda db: store.set_password(db, _found(db, name, "password").id, hashed))


def new_code(database: Path, name: str) -> str:
    """A code with which the account's owner sets a new password."""

    def change(db: Database) -> str:
        account = _found(db, name, "password")
        return _code(db, account.role, account.id)

    return visit(database, change)


def set_disabled(database: Path, name: str, disabled: bool) -> Account:
    """Lock an account out, or let it in again. Raises NotFound, and BadField for the only admin."""
    deed: Deed = "ban" if disabled else "unban"
    return visit(database, lambda db: store.set_disabled(db, _found(db, name, deed).id, disabled))


def listing(database: Path) -> tuple[Account, ...]:
    return visit(database, store.listing)


def has_admin(database: Path) -> bool:
    """Whether somebody can log in as an admin."""
    return visit(database, store.has_admin)


def _added(db: Database, name: str, role: Role, password: str) -> Principal:
    oversight.record(db, OPERATOR, "account", "", name)
    return store.add(db, name, key_of(name), role, password)


def _found(db: Database, name: str, deed: Deed) -> Account:
    """The account that something is done to; what fails afterwards takes the line of the audit back with it."""
    try:
        account = store.by_name(db, key_of(name))[0]
    except NotFound as error:
        raise NotFound(f"There is no account {name[:80]!r}; `user list` shows them all.") from error
    oversight.record(db, OPERATOR, deed, "", account.name)
    return account


def _code(db: Database, role: Role, account_id: str) -> str:
    code = secrets.token_urlsafe(32)
    store.invite(db, code, role, time.time() + INVITATION_S, account_id)
    return code
