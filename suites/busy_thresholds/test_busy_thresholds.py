"""When workers are full, what do those gain who are admitted, and how many are refused?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_busy_thresholds(perf: Perf) -> None:
    perf.measure()
    perf.check()
