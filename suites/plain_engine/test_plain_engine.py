"""What does Dynamo cost in front of an engine that could serve by itself, and did this change make it cost more?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_plain_engine(perf: Perf) -> None:
    perf.measure()
    perf.check()
