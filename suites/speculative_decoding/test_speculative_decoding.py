"""How many drafted tokens are accepted, what does that make of latency and throughput, and did this change make it worse?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_speculative_decoding(perf: Perf) -> None:
    perf.measure()
    perf.check()
