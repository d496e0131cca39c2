"""Does the KV router find what workers hold, what does that buy over routing that does not look, and did this change make it worse?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_routing(perf: Perf) -> None:
    perf.measure()
    perf.check()
