"""Where a regression may come from: a suspicion, worded as one, never a finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """One place to look first. ``what`` is a stage (``queue``, ``routing``, ``prefill``, ``decode``, ``KV transfer``, ``client``), or
    ``recorded change`` for something that provenance shows to differ.

    A stage has ``cell``, its ``before`` and ``now`` in the metric's unit, and ``delta`` (logarithm, + is worse). A recorded change has
    ``name`` and the two texts.
    """

    what: str
    sentence: str
    cell: Cell | None = None
    before: float | None = None
    now: float | None = None
    delta: float | None = None
    name: str | None = None
    text_before: str | None = None
    text_now: str | None = None
