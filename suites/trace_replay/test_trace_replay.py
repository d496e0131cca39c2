"""How does this deployment serve requests that come as users send them, and did this change make it worse?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_trace_replay(perf: Perf) -> None:
    perf.measure()
    perf.check()
