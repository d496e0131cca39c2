"""A number never travels between rooms without its unit, and what could not be computed is not a number.

Bottom of the house: imports nothing of this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """Units of stored values: SI and plain counts. The value of a member is its symbol in files."""

    SECONDS = "s"
    TOKENS = "tokens"
    REQUESTS = "requests"
    TOKENS_PER_SECOND = "tokens/s"
    TOKENS_PER_SECOND_PER_USER = "tokens/s/user"
    TOKENS_PER_SECOND_PER_GPU = "tokens/s/GPU"
    REQUESTS_PER_SECOND = "requests/s"
    RATIO = "ratio"
    BLOCKS = "blocks"
    BYTES = "bytes"
    EVENTS = "events"
    TRANSFERS = "transfers"


class Direction(Enum):
    """Which way is worse. ``NEITHER`` marks facts that are shown and can never be gated."""

    LOWER_IS_BETTER = "lower is better"
    HIGHER_IS_BETTER = "higher is better"
    NEITHER = "neither"

    @property
    def sign(self) -> int:
        """+1 where growth is worse, -1 where growth is better.

        :raises ValueError: for ``NEITHER``: a comparison that has no direction must not be made.
        """
        if self is Direction.NEITHER:
            msg = "a metric without a direction cannot be judged"
            raise ValueError(msg)
        return 1 if self is Direction.LOWER_IS_BETTER else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A value with its unit."""

    value: float
    unit: Unit


@dataclass(frozen=True, slots=True)
class Absent:
    """What could not be computed, and why. Never becomes 0, NaN or an empty list; has no truth value and no arithmetic."""

    reason: str

    def __bool__(self) -> bool:
        msg = f"an absent value has no truth value ({self.reason}); test with isinstance(x, Absent)"
        raise TypeError(msg)
