"""Accounts: who may come in and with what, who is shut out, and how much each may use.

Invariant: whether somebody may come in is asked of the database each time, so that what another process changed holds
from the next request on; what only this process changes (bans, quotas) is answered from memory.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial

import sqlite_utils
import structlog

from app.backend.accounts.passwords import Passwords, check_password, checked_name, key_of
from app.backend.accounts.records import Account, ApiKey, Invitation
from app.backend.admission import network_of
from app.backend.errors import BadField, ColloquyError, NotFound
from app.backend.storage import accounts as store
from app.backend.storage.accounts import INVITATION_S, Role
from app.backend.storage.database import Database
from app.backend.throttle import Throttle
from app.backend.types import DEMO, Principal
from app.settings import Quota, Settings

log = structlog.get_logger(__name__)

SESSION_S = 30 * 24 * 3600
LABEL_CHARS = 60
_KEY_PREFIX = "clq_"
_WINDOW_S = 15 * 60


class Accounts:
    """One per backend. Credentials are random and returned once; only their hashes are kept."""

    def __init__(
        self, database: Database, settings: Settings, refused: Callable[[str], None] = lambda reason: None
    ) -> None:
        """`refused` hears of who could not come in, and why."""
        self._database = database
        self._server = settings.server
        self._quotas = settings.quotas
        self._passwords = Passwords()
        self._refused = refused
        told = partial(refused, "log_in")
        self._by_guesser = Throttle(10, _WINDOW_S, refused=told)
        self._by_name = Throttle(300, _WINDOW_S, refused=told)
        self._by_address = Throttle(30, _WINDOW_S, refused=told)
        self._people: dict[str, Principal] = {}
        self._banned: dict[str, float] = {}
        self._own_quotas: dict[str, Quota] = {}

    async def open(self) -> None:
        """Read what is answered from memory."""
        for account in await self.listing():
            self._people[account.id] = Principal(account.id, account.role, account.name)
        self._banned = dict(await self._database.read(store.bans))
        quotas = await self._database.read(store.quotas)
        self._own_quotas = {owner: Quota.model_validate(quota) for owner, quota in quotas.items()}
        if self._server.mode == "accounts":
            await self._passwords.warm()

    # ---- who it is -----------------------------------------------------------------------------------------------

    async def by_session(self, token: str) -> Principal | None:
        """Who is logged in with this token; nobody, once it has ended or its account is disabled."""
        return self._met(await self._database.read(lambda db: store.by_session(db, token)))

    async def by_key(self, key: str) -> Principal | None:
        """Whose API key this is; nobody's, once it is revoked or its account is disabled."""
        found = await self._database.read(lambda db: store.by_key(db, key, time.time()))
        if found is None:
            return None
        principal, worth_noting = found
        if worth_noting:
            try:
                await self._database.write(lambda db: store.key_used(db, key))
            except ColloquyError as error:
                log.warning("the use of an API key could not be noted", reason=error.message)
        return self._met(principal)

    def name_of(self, owner: str) -> str:
        """The name of an account; empty for a guest."""
        known = self._people.get(owner)
        return known.name if known else ""

    def _met(self, principal: Principal | None) -> Principal | None:
        if principal:
            self._people[principal.id] = principal
        return principal

    # ---- coming and going ----------------------------------------------------------------------------------------

    async def log_in(self, name: str, password: str, address: str, replaces: str = "") -> str:
        """The token of a new session, which takes the place of the one that the browser had.

        An unknown name and a wrong password are the same error after the same work; that an account is disabled is
        told to who has its password. Raises Refused after too many attempts from the network, there for the name, or
        for the name from everywhere: nobody is locked out by what a few others tried elsewhere.
        """
        name_key, network = key_of(name)[:100], network_of(address)
        guesser = f"{name_key} {network}"
        self._by_address.attempt(network)
        self._by_guesser.attempt(guesser)
        self._by_name.attempt(name_key)
        try:
            account, kept = await self._database.read(lambda db: store.by_name(db, name_key))
        except NotFound:
            account, kept = None, ""
        right = await self._passwords.verify(password, kept)
        if account is None or not right:
            log.info("log-in refused", address=address)
            self._refused("password")
            raise BadField("password", "log_in", "The name or the password is wrong.")
        if account.disabled:
            raise BadField("password", "shut_out", "Whoever runs this server has closed it to you.")
        self._by_guesser.forget(guesser)
        self._by_name.give_back(name_key)
        self._by_address.give_back(network)
        return await self._begin(account.id, replaces)

    async def log_out(self, token: str) -> None:
        await self._database.write(lambda db: store.end_session(db, token))

    async def log_out_everywhere(self, user: Principal) -> None:
        await self._database.write(lambda db: store.end_sessions(db, user.id))

    async def change_password(self, user: Principal, old: str, new: str) -> str:
        """Ends all sessions of the account and revokes its API keys; the token is for the one that goes on."""
        self._by_guesser.attempt(user.id)
        kept = await self._database.read(lambda db: store.password_of(db, user.id))
        if not await self._passwords.verify(old, kept):
            raise BadField("old", "old_password", "This is not your password.")
        self._by_guesser.forget(user.id)
        check_password(new, user.name)
        hashed = await self._passwords.hash(new)
        await self._database.write(lambda db: store.set_password(db, user.id, hashed))
        return await self._begin(user.id)

    async def _begin(self, account_id: str, replaces: str = "") -> str:
        token, expires_at = secrets.token_urlsafe(32), time.time() + SESSION_S
        if replaces:
            await self.log_out(replaces)
        await self._database.write(lambda db: store.begin_session(db, account_id, token, expires_at))
        return token

    # ---- invitations ---------------------------------------------------------------------------------------------

    async def invite(self, role: Role = "user") -> str:
        """A code that makes one account within a week."""
        code = secrets.token_urlsafe(32)
        await self._database.write(lambda db: store.invite(db, code, role, time.time() + INVITATION_S))
        return code

    async def invitation(self, code: str) -> Invitation | None:
        """What a code is good for now."""
        found = await self._database.read(lambda db: store.invitation(db, code))
        return found[0] if found else None

    async def join(self, code: str, name: str, password: str, address: str) -> str:
        """Use a code: make an account, or set the password of the one it is for. The token of a new session."""
        self._by_address.attempt(network_of(address))
        found = await self._database.read(lambda db: store.invitation(db, code))
        if found is None:
            raise BadField("code", "code", "This invitation was used or has expired; ask for a new one.")
        invitation, account_id = found
        name = invitation.account_name or checked_name(name)
        check_password(password, name)
        hashed = await self._passwords.hash(password)

        def joined(db: sqlite_utils.Database) -> str:
            store.take_invitation(db, code)
            if account_id is None:
                return store.add(db, name, key_of(name), invitation.role, hashed).id
            store.set_password(db, account_id, hashed)
            return account_id

        account = await self._database.write(joined)
        self._by_address.give_back(network_of(address))
        return await self._begin(account)

    # ---- API keys ------------------------------------------------------------------------------------------------

    async def create_key(self, user: Principal, label: str) -> str:
        """A new key, shown this once."""
        label = " ".join(label.split())
        if not 1 <= len(label) <= LABEL_CHARS:
            raise BadField("label", "label", f"Say in 1 to {LABEL_CHARS} characters what the key is for.")
        key = _KEY_PREFIX + secrets.token_urlsafe(32)
        await self._database.write(lambda db: store.add_key(db, user.id, label, key))
        return key

    async def keys(self, user: Principal) -> tuple[ApiKey, ...]:
        return await self._database.read(lambda db: store.keys(db, user.id))

    async def revoke_key(self, user: Principal, key_id: str) -> None:
        await self._database.write(lambda db: store.revoke_key(db, user.id, key_id))

    # ---- for operators -------------------------------------------------------------------------------------------

    async def listing(self) -> tuple[Account, ...]:
        return await self._database.read(store.listing)

    async def set_disabled(self, owner: str, disabled: bool) -> Account:
        """Takes effect at the next request of the account, and within a second on what it is reading."""
        return await self._database.write(lambda db: store.set_disabled(db, owner, disabled))

    async def set_banned(self, owner: str, banned: bool) -> None:
        """Shut a guest out, or let it in again. Who has an account is disabled instead."""
        await self._database.write(lambda db: store.set_banned(db, owner, banned))
        if banned:
            self._banned.setdefault(owner, time.time())
        else:
            self._banned.pop(owner, None)

    def banned(self, owner: str) -> bool:
        return owner in self._banned

    async def is_out(self, owner: str) -> bool:
        """Whether somebody is shut out, guest or account; for what goes on without their requests."""
        return self.banned(owner) or await self._database.read(lambda db: store.is_disabled(db, owner))

    def bans(self) -> Mapping[str, float]:
        """Who is shut out, since when."""
        return dict(self._banned)

    async def set_quota(self, owner: str, quota: Quota | None) -> None:
        """Give one owner a quota of its own; None: what others of its role have."""
        kept = quota.model_dump() if quota else None
        await self._database.write(lambda db: store.set_quota(db, owner, kept))
        if quota:
            self._own_quotas[owner] = quota
        else:
            self._own_quotas.pop(owner, None)

    def own_quotas(self) -> Mapping[str, Quota]:
        """Whose quota is not that of the role."""
        return dict(self._own_quotas)

    def quota_of(self, owner: str) -> Quota:
        """What an owner may have at once and over time; for the admission."""
        if owner in self._own_quotas:
            return self._own_quotas[owner]
        if known := self._people.get(owner):
            return self._quotas.admin if known.role == "admin" else self._quotas.user
        if owner.startswith(DEMO):
            return self._quotas.demo
        return self._quotas.guest if self.visits(owner) else self._quotas.local

    def visits(self, owner: str) -> bool:
        """Whether it is a guest who does not sit at a machine that serves only itself."""
        local = self._server.mode == "guest" and self._server.local
        return owner.startswith("guest-") and not local
