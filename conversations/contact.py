"""Whether this node may judge others by their silence.

A lease that has lapsed means: its node died, or was cut off. Who was cut off itself just now cannot tell which:
perhaps Redis was away for everybody, and the turn's own node renews it in a moment. So such a node leaves the lapsed
leases of others alone for the length of one lease. Thereby an outage of Redis takes no turn from a living node and
is not counted against a turn (claim.lua: lapses).
"""

from django.conf import settings

from .lease import clock_seconds


class Contact:
    def __init__(self) -> None:
        self._heard_at: float | None = None
        self._since = 0.0

    def heard(self) -> None:
        """Redis has answered. Call it regularly, several times in half a lease."""
        now = clock_seconds()
        if self._heard_at is None or now - self._heard_at > settings.LEASE_SECONDS / 2:
            self._since = now
        self._heard_at = now

    @property
    def is_fresh(self) -> bool:
        """Whether the node has started, or was cut off or frozen, less than a lease ago, or is so now."""
        now = clock_seconds()
        if self._heard_at is None or now - self._heard_at > settings.LEASE_SECONDS / 2:
            return True
        return bool(now - self._since < settings.LEASE_SECONDS)
