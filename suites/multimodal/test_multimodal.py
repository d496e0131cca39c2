"""How fast are answers about pictures, with and without a cache of their embeddings, and did this change make them slower?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf import Perf


def test_multimodal(perf: Perf) -> None:
    perf.measure()
    perf.check()
