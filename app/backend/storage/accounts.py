"""Accounts, sessions, API keys, invitations, bans and quotas in SQLite.

Invariant: tokens, keys and codes are here as SHA-256 of 256 random bits only; whoever reads the file can log in with
none of them. A disabled account is found by no credential.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Literal

from sqlite_utils import Database

from app.backend.accounts.records import Account, ApiKey, Invitation
from app.backend.errors import BadField, NotFound
from app.backend.storage import rows
from app.backend.storage.rows import Row, seconds
from app.backend.types import Principal

Role = Literal["user", "admin"]
USED_AGAIN_S = 60.0
MAX_KEYS = 20
INVITATION_S = 7 * 24 * 3600


def hashed(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()


def add(db: Database, name: str, name_key: str, role: Role, password: str) -> Principal:
    """A new account; without a password nobody can log in to it yet."""
    if next(db.query("SELECT 1 FROM accounts WHERE name_key = ?", [name_key]), None):
        raise BadField("name", "name_taken", f"There is an account {name} already; choose another name.")
    account_id = f"user-{secrets.token_urlsafe(16)}"
    row = {"id": account_id, "name": name, "name_key": name_key, "role": role, "password": password}
    db.table("accounts").insert({**row, "created_at": rows.now()})
    return Principal(account_id, role, name)


def listing(db: Database) -> tuple[Account, ...]:
    """All accounts by name."""
    return tuple(_account(row) for row in db.query("SELECT * FROM accounts ORDER BY name_key"))


def by_name(db: Database, name_key: str) -> tuple[Account, str]:
    """An account and the hash of its password. Raises NotFound."""
    row: Row | None = next(db.query("SELECT * FROM accounts WHERE name_key = ?", [name_key]), None)
    if row is None:
        raise NotFound("There is no such account.")
    return _account(row), row["password"]


def get(db: Database, account_id: str) -> Account:
    row: Row | None = next(db.query("SELECT * FROM accounts WHERE id = ?", [account_id]), None)
    if row is None:
        raise NotFound("There is no such account.")
    return _account(row)


def password_of(db: Database, account_id: str) -> str:
    row: Row | None = next(db.query("SELECT password FROM accounts WHERE id = ?", [account_id]), None)
    return row["password"] if row else ""


def set_password(db: Database, account_id: str, password: str) -> None:
    """A new password ends every session and revokes every API key: who knew the old one may have made them."""
    db.execute("UPDATE accounts SET password = ? WHERE id = ?", [password, account_id])
    db.execute("DELETE FROM api_keys WHERE account_id = ?", [account_id])
    end_sessions(db, account_id)


def is_disabled(db: Database, account_id: str) -> bool:
    """Whether it is an account that is locked out."""
    sql = "SELECT 1 FROM accounts WHERE id = ? AND disabled_at IS NOT NULL"
    return db.execute(sql, [account_id]).fetchone() is not None


def set_disabled(db: Database, account_id: str, disabled: bool) -> Account:
    """Lock an account out, or let it in again with new sessions."""
    account = get(db, account_id)
    if disabled and account.role == "admin" and not account.disabled and _active_admins(db) == 1:
        raise BadField("name", "last_admin", "This is the only admin; make another one first.")
    db.execute("UPDATE accounts SET disabled_at = ? WHERE id = ?", [rows.now() if disabled else None, account_id])
    if disabled:
        end_sessions(db, account_id)
    return get(db, account_id)


def has_admin(db: Database) -> bool:
    """Whether somebody can log in as an admin."""
    return _active_admins(db) > 0


def _active_admins(db: Database) -> int:
    sql = "SELECT count(*) AS n FROM accounts WHERE role = 'admin' AND disabled_at IS NULL AND password <> ''"
    return int(next(db.query(sql))["n"])


def begin_session(db: Database, account_id: str, token: str, expires_at: float) -> None:
    db.execute("DELETE FROM sessions WHERE expires_at < ?", [rows.now()])
    row = {"token_hash": hashed(token), "account_id": account_id}
    db.table("sessions").insert({**row, "created_at": rows.now(), "expires_at": rows.iso(expires_at)})


def end_session(db: Database, token: str) -> None:
    db.execute("DELETE FROM sessions WHERE token_hash = ?", [hashed(token)])


def end_sessions(db: Database, account_id: str) -> None:
    db.execute("DELETE FROM sessions WHERE account_id = ?", [account_id])


def by_session(db: Database, token: str) -> Principal | None:
    sql = """SELECT a.* FROM sessions s JOIN accounts a ON a.id = s.account_id
        WHERE s.token_hash = ? AND s.expires_at > ? AND a.disabled_at IS NULL"""
    return _principal(next(db.query(sql, [hashed(token), rows.now()]), None))


def add_key(db: Database, account_id: str, label: str, key: str) -> None:
    """Keep a key; counted in the same write, because many may be made at once."""
    if len(keys(db, account_id)) >= MAX_KEYS:
        raise BadField("label", "keys_full", f"You have {MAX_KEYS} keys; revoke one that is not used any more.")
    row = {"id": rows.new_id(), "key_hash": hashed(key), "account_id": account_id, "label": label, "hint": key[-4:]}
    db.table("api_keys").insert({**row, "created_at": rows.now()})


def keys(db: Database, account_id: str) -> tuple[ApiKey, ...]:
    """The account's keys, newest first."""
    sql = "SELECT * FROM api_keys WHERE account_id = ? ORDER BY created_at DESC, id"
    return tuple(
        ApiKey(
            row["id"],
            row["label"],
            row["hint"],
            seconds(row["created_at"]),
            seconds(row["last_used_at"]) if row["last_used_at"] else None,
        )
        for row in db.query(sql, [account_id])
    )


def revoke_key(db: Database, account_id: str, key_id: str) -> None:
    if not db.execute("DELETE FROM api_keys WHERE id = ? AND account_id = ?", [key_id, account_id]).rowcount:
        raise NotFound("There is no such API key.")


def by_key(db: Database, key: str, now: float) -> tuple[Principal, bool] | None:
    """Whose key it is, and whether its last use is so long ago that it is worth noting again."""
    sql = """SELECT a.*, k.last_used_at FROM api_keys k JOIN accounts a ON a.id = k.account_id
        WHERE k.key_hash = ? AND a.disabled_at IS NULL"""
    row: Row | None = next(db.query(sql, [hashed(key)]), None)
    principal = _principal(row)
    if row is None or principal is None:
        return None
    return principal, not row["last_used_at"] or now - seconds(row["last_used_at"]) > USED_AGAIN_S


def key_used(db: Database, key: str) -> None:
    db.execute("UPDATE api_keys SET last_used_at = ? WHERE key_hash = ?", [rows.now(), hashed(key)])


def invite(db: Database, code: str, role: Role, expires_at: float, account_id: str | None = None) -> None:
    """Keep a code. One for an account replaces what that account was given before."""
    db.execute("DELETE FROM invitations WHERE expires_at < ? OR account_id = ?", [rows.now(), account_id])
    row = {"code_hash": hashed(code), "role": role, "account_id": account_id}
    db.table("invitations").insert({**row, "created_at": rows.now(), "expires_at": rows.iso(expires_at)})


def invitation(db: Database, code: str) -> tuple[Invitation, str | None] | None:
    """What a code is good for now, with the account whose password it sets."""
    sql = """SELECT i.*, coalesce(a.name, '') AS name FROM invitations i LEFT JOIN accounts a ON a.id = i.account_id
        WHERE i.code_hash = ? AND i.expires_at > ?"""
    row: Row | None = next(db.query(sql, [hashed(code), rows.now()]), None)
    if row is None:
        return None
    return Invitation(row["role"], row["name"], seconds(row["expires_at"])), row["account_id"]


def take_invitation(db: Database, code: str) -> None:
    """Use a code up. Raises BadField when somebody was faster."""
    if not db.execute("DELETE FROM invitations WHERE code_hash = ?", [hashed(code)]).rowcount:
        raise BadField("code", "code", "This invitation was used or has expired; ask for a new one.")


def set_banned(db: Database, owner: str, banned: bool) -> None:
    if banned:
        db.table("bans").insert({"owner": owner, "created_at": rows.now()}, ignore=True)
    else:
        db.execute("DELETE FROM bans WHERE owner = ?", [owner])


def bans(db: Database) -> Mapping[str, float]:
    """Who is shut out, since when."""
    return {row["owner"]: seconds(row["created_at"]) for row in db.query("SELECT * FROM bans")}


def set_quota(db: Database, owner: str, quota: Mapping[str, object] | None) -> None:
    if quota is None:
        db.execute("DELETE FROM quotas WHERE owner = ?", [owner])
    else:
        db.table("quotas").insert({"owner": owner, "quota": rows.dumps(quota)}, replace=True)


def quotas(db: Database) -> Mapping[str, Mapping[str, object]]:
    return {row["owner"]: json.loads(row["quota"]) for row in db.query("SELECT * FROM quotas")}


def _account(row: Row) -> Account:
    created_at, disabled, ready = seconds(row["created_at"]), row["disabled_at"] is not None, bool(row["password"])
    return Account(row["id"], row["name"], row["role"], created_at, disabled, ready)


def _principal(row: Row | None) -> Principal | None:
    return Principal(row["id"], row["role"], row["name"]) if row else None
