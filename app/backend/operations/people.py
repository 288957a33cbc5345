"""Who uses the server, for operators: accounts and recent guests, what each may use, their links, shutting them out.

Invariant: every deed is in the audit before it happens, and somebody who is shut out has no answer that still runs.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.backend.accounts.records import Account
from app.backend.accounts.service import Accounts
from app.backend.admission import Admission
from app.backend.errors import BadInput, NotFound
from app.backend.operations.audit import Audit
from app.backend.records import Recent
from app.backend.storage import oversight, rows, shares
from app.backend.storage.database import Database
from app.backend.types import Principal
from app.settings import Quota

RECENT_S = 24 * 3600
_GUEST = re.compile(r"guest-[A-Za-z0-9_-]{22}|demo-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Person:
    """An account, or a guest of the last day or with links. `out` is shut out; `own` has a quota other than its role's.

    `questions` are those of the last day; `running` and `waiting` are now; `links` are those that can be used.
    """

    owner: str
    name: str
    role: Literal["guest", "user", "admin"]
    out: bool
    quota: Quota
    own: bool
    running: int
    waiting: int
    questions: int
    last_at: float | None
    links: int


class People:
    """`stop_all` ends what runs for an owner."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        admission: Admission,
        audit: Audit,
        stop_all: Callable[[str], None],
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._admission = admission
        self._audit = audit
        self._stop_all = stop_all

    async def listing(self) -> tuple[Person, ...]:
        """Who is asking now first, then who asked last."""
        since = time.time() - RECENT_S
        accounts = {account.id: account for account in await self._accounts.listing()}
        recent = {r.owner: r for r in await self._database.read(lambda db: oversight.recent(db, since))}
        links = await self._links()
        visits = self._admission.snapshot().visits
        running = Counter(v.owner for v in visits if v.state == "running")
        waiting = Counter(v.owner for v in visits if v.state == "waiting")
        known = {*self._accounts.bans(), *self._accounts.own_quotas()}
        people = [
            self._person(owner, accounts.get(owner), recent.get(owner), running[owner], waiting[owner], links[owner])
            for owner in {*accounts, *recent, *running, *waiting, *links, *known}
        ]
        return tuple(sorted(people, key=lambda p: (-p.running - p.waiting, -(p.last_at or 0), p.name, p.owner)))

    async def shut_out(self, operator: Principal, owner: str, out: bool) -> None:
        """Refuse all requests of somebody and end what runs for them, or let them in again. Raises NotFound."""
        if out and owner == operator.id:
            raise BadInput("This is you: somebody else has to shut you out.")
        account = await self._known(owner)
        await self._audit.record(operator, "ban" if out else "unban", owner)
        if account:
            await self._accounts.set_disabled(account.id, out)
        else:
            await self._accounts.set_banned(owner, out)
        if out:
            self._stop_all(owner)

    async def set_quota(self, operator: Principal, owner: str, quota: Quota | None) -> None:
        """Give somebody a quota of their own; None: that of their role again. Raises NotFound."""
        await self._known(owner)
        values = json.dumps(quota.model_dump()) if quota else ""
        await self._audit.record(operator, "quota", owner, values)
        await self._accounts.set_quota(owner, quota)

    async def revoke_links(self, operator: Principal, owner: str) -> None:
        """From now on there is nothing behind any link of somebody; new ones can be made. Raises NotFound."""
        await self._known(owner)
        links = await self._links()
        await self._audit.record(operator, "unlink", owner, str(links[owner]))
        await self._database.write(lambda db: shares.revoke_all(db, owner))

    async def _links(self) -> Counter[str]:
        now = rows.now()
        return Counter(await self._database.read(lambda db: shares.counts(db, now)))

    async def _known(self, owner: str) -> Account | None:
        """The account, None for a guest. Raises NotFound for what can be neither."""
        account = next((a for a in await self._accounts.listing() if a.id == owner), None)
        if account is None and not _GUEST.fullmatch(owner):
            raise NotFound("There is no such user.")
        return account

    def _person(
        self, owner: str, account: Account | None, recent: Recent | None, running: int, waiting: int, links: int
    ) -> Person:
        return Person(
            owner,
            account.name if account else "",
            account.role if account else "guest",
            account.disabled if account else self._accounts.banned(owner),
            self._accounts.quota_of(owner),
            owner in self._accounts.own_quotas(),
            running,
            waiting,
            recent.questions if recent else 0,
            recent.last_at if recent else None,
            links,
        )
