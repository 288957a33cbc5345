"""Names and passwords of accounts: what may be one, and how they are kept.

Invariant: a password is verified against some hash whether or not the account exists, so that the time of an answer
tells nobody which names there are.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from app.backend.errors import BadField

if TYPE_CHECKING:
    from pwdlib import PasswordHash

NAME_CHARS = 40
MIN_CHARS, MAX_CHARS = 10, 256
_MIN_DIFFERENT = 5
_AT_ONCE = 2
_NAME = re.compile(r"\w[\w.-]*")
_ALIKE = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}
_RESERVED = ("guest-", "user-")


def checked_name(name: str) -> str:
    """The name as it is kept."""
    name = unicodedata.normalize("NFKC", name).strip()
    if not 2 <= len(name) <= NAME_CHARS or not _NAME.fullmatch(name):
        message = f"A name has 2 to {NAME_CHARS} letters, digits, dots, dashes or underlines, such as mei.lin."
        raise BadField("name", "name", message)
    if len(_ALIKE & {unicodedata.name(char, "").partition(" ")[0] for char in name}) > 1:
        message = "A name has letters of one alphabet: those of Latin, Cyrillic or Greek look alike."
        raise BadField("name", "name_mixed", message)
    if key_of(name).startswith(_RESERVED):
        raise BadField("name", "name_reserved", "A name does not begin with guest- or user-, as ids do.")
    return name


def key_of(name: str) -> str:
    """What two names that look alike in upper and lower case have in common."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def check_password(password: str, name: str) -> None:
    """Length is what makes a password strong; the rest only keeps out what is guessed first."""
    if len(password) < MIN_CHARS:
        raise BadField("password", "password_short", f"The password is too short: use at least {MIN_CHARS} characters.")
    if len(password) > MAX_CHARS:
        raise BadField("password", "password_long", f"The password is too long: use at most {MAX_CHARS} characters.")
    if len(set(password)) < _MIN_DIFFERENT or (name and key_of(name) in password.casefold() and len(password) < 16):
        message = "The password is too easy to guess: use several words, without your name."
        raise BadField("password", "password_weak", message)


def hash_now(password: str) -> str:
    """The argon2 hash, where nobody else is kept waiting."""
    from pwdlib import PasswordHash

    return PasswordHash.recommended().hash(password)


class Passwords:
    """Hashes and verifies with argon2, a few at a time: each takes 64 MiB and a core for a moment."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(lambda: self._argon2.hash(password))

    async def verify(self, password: str, against: str) -> bool:
        """Whether it is the password of that hash; never, when there is none."""
        async with self._turns:
            right = await asyncio.to_thread(lambda: self._argon2.verify(password, against or self._nobodys))
        return right and bool(against)

    async def warm(self) -> None:
        """Make what the first log-in would have to wait for."""
        await asyncio.to_thread(lambda: self._nobodys)

    @cached_property
    def _argon2(self) -> PasswordHash:
        from pwdlib import PasswordHash

        return PasswordHash.recommended()

    @cached_property
    def _nobodys(self) -> str:
        return self._argon2.hash(secrets.token_urlsafe(32))
