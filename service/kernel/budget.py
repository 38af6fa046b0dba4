"""What each tenant of a shared service may begin in a second."""

BURST_S = 1.0
# Whoever has all of it again is left out beyond so many: anybody may name a tenant.
TENANTS_MAX = 10_000


class Budget:
    """So many a second for each tenant of a worker, and what a second holds saved up at most."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._full = max(1.0, per_s * BURST_S)
        # What was left, and when. A tenant that isn't in here has all of it.
        self._left: dict[str, tuple[float, float]] = {}

    def allows(self, tenant: str, now: float) -> bool:
        """Whether there is one left for this tenant."""
        return self._of(tenant, now) >= 1

    def spend(self, tenant: str, now: float) -> None:
        """One begins."""
        self._left[tenant] = (self._of(tenant, now) - 1, now)
        if len(self._left) > TENANTS_MAX:
            self._left = {name: left for name, left in self._left.items() if self._lacks(left, now)}

    def _of(self, tenant: str, now: float) -> float:
        left, at = self._left.get(tenant, (self._full, now))
        return min(self._full, left + self._per_s * (now - at))

    def _lacks(self, left: tuple[float, float], now: float) -> bool:
        return left[0] + self._per_s * (now - left[1]) < self._full
