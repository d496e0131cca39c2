"""Markdown tables of results: the median of the repetitions, and their spread. Pure."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.instrument.comparison import Result
    from benchmarks.instrument.trial import Level

HEADER = (
    "| streams, ITL | client | TTFT error p50 / p99 (µs) | gap error p50 / p99 (µs) | chunk lag p50 / p99 (µs) | "
    "CPU ms per 1,000 chunks | failed | server late p99 (µs) |\n|---|---|---|---|---|---|---|---|"
)


def row(level: Level, name: str, results: Sequence[Result]) -> str:
    """One client at one level. Least and largest of the repetitions stand in parentheses."""
    cells = [
        f"{level.streams}, {level.itl_ms} ms",
        name,
        _pair(results, lambda result: result.ttft_us),
        _pair(results, lambda result: result.gap_us),
        _pair(results, lambda result: result.lag_us),
        _spread([result.cpu_ms for result in results]),
        str(sum(result.failed for result in results)),
        f"{statistics.median(result.server_late_us for result in results):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _pair(results: Sequence[Result], of: Callable[[Result], tuple[float, float]]) -> str:
    return " / ".join(_spread([of(result)[side] for result in results]) for side in (0, 1))


def _spread(values: Sequence[float]) -> str:
    middle = _figure(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({_figure(min(values))} to {_figure(max(values))})"


def _figure(value: float) -> str:
    if value >= 10_000:
        return f"{round(value, -2):,.0f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
