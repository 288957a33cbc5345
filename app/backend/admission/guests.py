"""What guests may take: those of one network, and beside accounts all of them together.

A cookie that is dropped makes a new guest, so quotas by owner hold nobody who wants to get around them. Invariant: the
questions of one network, under however many names, stay within one quota.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address

from app.backend.admission.quota import Asked
from app.backend.errors import Busy, ColloquyError, Refused
from app.settings import AddressQuota, Settings

SITE_BITS = 64
"""Of an IPv6 address; the rest is one household's own."""


def network_of(address: str) -> str:
    """What is counted as one: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(known, IPv6Address):
        return str(known)
    return str(known.ipv4_mapped or IPv6Address(int(known) >> SITE_BITS << SITE_BITS))


class Guests:
    """One per admission. `is_guest` tells whom this is for; at most `most` of their questions wait or run at once."""

    def __init__(
        self,
        is_guest: Callable[[str], bool] = lambda owner: False,
        quota: AddressQuota | None = None,
        most: int | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._is_guest = is_guest
        self._quota = quota or AddressQuota()
        self._most = most
        self._asked = Asked(wall)

    def network(self, owner: str, address: str) -> str | None:
        """Under what a question is counted; None for whom this is not for."""
        return network_of(address) if self._is_guest(owner) else None

    def refusal(self, network: str, live: Sequence[str], retry_s: float) -> tuple[str, ColloquyError] | None:
        """A code and the error when a guest of `network` may not ask now; `live` are the networks of those inside."""
        if over := self._asked.over(network, self._quota):
            code, _, wait_s = over
            words = "Your network has asked as much as guests of one address may for now; please try later."
            return f"address_{code}", Refused(words, retry_after_s=wait_s)
        if live.count(network) >= self._quota.live:
            words = "Guests of your network have as many questions here as they may; let one finish first."
            return "address_live", Refused(words, retry_after_s=retry_s)
        if self._most is not None and len(live) >= self._most:
            return "guests", Busy("Too many guests are asking; please try again shortly.", retry_after_s=retry_s)
        return None

    def seed(self, asked_today: Mapping[str, int]) -> None:
        """What each network asked today before this process began."""
        self._asked.seed(asked_today)

    def count(self, network: str) -> None:
        self._asked.count(network)

    def uncount(self, network: str) -> None:
        self._asked.uncount(network)

    def forget(self) -> None:
        self._asked.forget()


def create_guests(settings: Settings, is_guest: Callable[[str], bool]) -> Guests:
    """Beside accounts they have at most half of the slots, so that no account waits for guests."""
    most = max(1, settings.admission.max_running // 2) if settings.server.mode == "accounts" else None
    return Guests(is_guest, settings.quotas.address, most)
