"""What do separate prefill and decode workers gain and lose against as many that do both, and did this change make either worse?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_disaggregation(perf: Perf) -> None:
    perf.measure()
    perf.check()
