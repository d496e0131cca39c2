"""How far a run has come, read off the board."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.load.board import Board, Column

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY_NS = 500_000_000
_READINGS = 4  # of _EVERY_NS: tokens per second over the last two seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Of a run that is going on: measured requests that ended, of how many.

    ``tokens_per_s`` is the rate over the last two seconds, ``None`` until a request has ended and told how many tokens its events carry.
    ``in_flight`` counts requests, ``errors`` those that failed so far, warm-up included. ``late`` and ``dropped`` count measured sends of
    an open loop: more than 1 ms after their time, and not sent at all.
    """

    run: str
    done: int
    total: int
    tokens_per_s: float | None
    elapsed_s: float
    in_flight: int = 0
    errors: int = 0
    late: int = 0
    dropped: int = 0


class Teller:
    """Tells ``progress`` at most twice a second."""

    def __init__(self, progress: Callable[[Progress], None] | None, board: Board, *, run: str, total: int, started_ns: int) -> None:
        self._progress, self._board, self._run, self._total, self._started_ns = progress, board, run, total, started_ns
        self._due_ns = started_ns + _EVERY_NS
        self._readings: deque[tuple[int, int]] = deque([(started_ns, 0)], maxlen=_READINGS + 1)

    def tell(self, now_ns: int) -> None:
        """Call it often: it calls further when it is time."""
        if self._progress is None or now_ns < self._due_ns:
            return
        self._due_ns = now_ns + _EVERY_NS
        total = self._board.total
        self._readings.append((now_ns, total(Column.EVENTS)))
        (then_ns, then), (_, now) = self._readings[0], self._readings[-1]
        # An event may carry several tokens, or none; what ended tells how many it is on average.
        tokens, events = total(Column.RATIO_TOKENS), total(Column.RATIO_EVENTS)
        rate = max(0, now - then) * tokens / events / (now_ns - then_ns) * 1e9 if tokens and events else None
        self._progress(
            Progress(
                run=self._run,
                done=total(Column.MEASURED_ENDED),
                total=self._total,
                tokens_per_s=rate,
                elapsed_s=(now_ns - self._started_ns) / 1e9,
                in_flight=total(Column.IN_FLIGHT),
                errors=total(Column.ERRORS),
                late=total(Column.LATE),
                dropped=total(Column.DROPPED),
            )
        )
