"""What is said over the cells of a whole session. It never changes an outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """``judged``: how many cells were compared on a logarithmic scale, the basis of the other two.

    ``shift``: the median delta of those cells, as a logarithm with + worse, where it exceeds 2 %: the environment as a whole became slower;
    ``None`` otherwise. ``beyond_shift``: regressed cells, by case name, that stay above half of their tolerance after ``shift`` was
    subtracted. ``survivors``: regressed cells that survive Benjamini-Hochberg at q = .10 over the judged cells.
    """

    judged: int
    shift: float | None = None
    beyond_shift: tuple[tuple[str, Cell], ...] = ()
    survivors: tuple[tuple[str, Cell], ...] = ()
