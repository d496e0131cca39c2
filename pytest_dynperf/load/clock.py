"""Kernel receive stamps are CLOCK_REALTIME; everything else here is CLOCK_MONOTONIC. The difference of the two, watched."""

from __future__ import annotations

import time

_TRIES = 7
_STEP_NS = 100_000


def sampled_offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC, from the narrowest of a few brackets: right to about 0.1 µs on an idle machine."""
    best_width, best = None, 0
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        if best_width is None or after - before < best_width:
            best_width, best = after - before, real - (before + after) // 2
    return best


class ClockOffset:
    """The offset in force, and how far it moved.

    NTP slews both clocks alike, so the offset changes only when somebody sets the clock. A new sample is therefore adopted only when it is
    more than 0.1 ms away: the noise of sampling must not move stamps against each other.
    """

    def __init__(self) -> None:
        self.offset_ns = self._lowest = self._highest = sampled_offset_ns()

    def sample(self) -> None:
        """Look again. About 3 µs."""
        offset = sampled_offset_ns()
        self._lowest, self._highest = min(self._lowest, offset), max(self._highest, offset)
        if abs(offset - self.offset_ns) > _STEP_NS:
            self.offset_ns = offset

    @property
    def step_s(self) -> float:
        """Largest change seen."""
        return (self._highest - self._lowest) / 1e9
