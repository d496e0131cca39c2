"""What does a user of this deployment lose, and for how long, when one of its services fails?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_faults(perf: Perf) -> None:
    perf.measure()
    perf.check()
