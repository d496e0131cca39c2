"""Do two frontends that route on their own, or tell each other what they sent where, find as much as one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_router_replicas(perf: Perf) -> None:
    perf.measure()
    perf.check()
