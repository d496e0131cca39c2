"""How fast is an answer whose beginning lies in this tier of the KV cache, and did this change make it slower?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_kvbm_tiers(perf: Perf) -> None:
    perf.measure()
    perf.check()
