"""How much time is left for measuring beyond the first session of each case."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Budget:
    """``total_s`` for one process and all of its cases; ``None`` is without end, 0 allows nothing. ``clock`` counts seconds."""

    def __init__(self, total_s: float | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total_s = total_s
        self._clock = clock
        self.spent_s = 0.0

    @property
    def left_s(self) -> float:
        """Infinite where there is no end."""
        return math.inf if self.total_s is None else max(0.0, self.total_s - self.spent_s)

    def refusal(self, expected_s: float) -> str | None:
        """Why a step that is expected to take so long does not begin, or ``None`` where it fits."""
        if self.total_s is None or (self.total_s > 0 and expected_s <= self.left_s):
            return None
        return (
            f"the budget of {self.total_s / 60:g} min is spent: the next step takes about {expected_s / 60:.2g} min, "
            f"left are {self.left_s / 60:.2g} (--dynperf-budget)"
        )

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Time inside counts, however it is left."""
        begun_s = self._clock()
        try:
            yield
        finally:
            self.spent_s += self._clock() - begun_s
