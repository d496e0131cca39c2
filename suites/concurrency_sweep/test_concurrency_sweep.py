"""How do throughput and latency change as more requests are in flight, and did this change make them worse?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_concurrency_sweep(perf: Perf) -> None:
    perf.measure()
    perf.check()
