"""Who shares what the engine remembers of prompts: each owner gets a salt, so that no owner's waits tell of another's.

Invariant: a salt says nothing about its owner, and its key is never written down: what it opens ends with the process.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import blake2b

from app.settings import ServerSettings

Salts = Callable[[str], str | None]


def create_salts(server: ServerSettings) -> Salts:
    """The salt of an owner; None, which is one cache for all, where all sit at this machine: there it is worth more."""
    if server.mode == "guest" and server.local:
        return lambda owner: None
    key = secrets.token_bytes(32)
    return lambda owner: blake2b(owner.encode(), key=key, digest_size=16).hexdigest()
