"""Does LMCache change answers, and what does a prefix out of its tiers save?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_lmcache_parity(perf: Perf) -> None:
    perf.measure()
    perf.check()
