"""What a server's own metrics said over time, in columns: one entry per reading."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SeriesKind(Enum):
    """What a value of a series is."""

    COUNTER = "counter"  # counted since the first reading; never falls
    GAUGE = "gauge"  # as it stood at the reading
    HISTOGRAM_PART = "histogram part"  # as a counter: the sum, the count, or one cumulative bucket of a histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One column. ``id`` is one of ``metrics.series_ids``, with ``.sum``, ``.count`` or ``.bucket`` behind it for a part of a histogram, or
    ``raw:`` and the server's own name. ``source`` names the service that was asked. ``labels``, sorted by name, tell series of one id and
    source apart; a bucket has its upper bound in ``le``, in the unit of the id.

    ``stamps_ns`` (CLOCK_MONOTONIC, rising, the middle of the exchange) and ``values`` have one entry per reading. Values are finite and SI.
    """

    id: str
    source: str
    kind: SeriesKind
    labels: tuple[tuple[str, str], ...] = ()
    stamps_ns: tuple[int, ...]
    values: tuple[float, ...]
