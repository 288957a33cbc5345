"""What is known of the people who may log in, and of their keys. No secret is in any of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may log in. `ready` is false until a password was set."""

    id: str
    name: str
    role: Literal["user", "admin"]
    created_at: float
    disabled: bool
    ready: bool


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a program. The key itself was shown once; `hint` is how it ends."""

    id: str
    label: str
    hint: str
    created_at: float
    last_used_at: float | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A code that works once. With an `account_name` it sets that account's password, else it makes an account."""

    role: Literal["user", "admin"]
    account_name: str
    expires_at: float
