"""How many drafted tokens are accepted, what does that make of latency and throughput, and did this change make it worse?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf import Case, Perf
    from pytest_dynperf.measurement.measurement import Measurement


def test_speculative_decoding(perf: Perf, falls_with_noise: Callable[[Case, Measurement], None]) -> None:
    measurement = perf.measure()
    perf.check()
    falls_with_noise(perf.case, measurement)
