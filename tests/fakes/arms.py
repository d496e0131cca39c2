"""Replies of arms, and what stands around them, by hand."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.verdict.arm_parity import Reply

if TYPE_CHECKING:
    from collections.abc import Collection

TODAY = datetime.date(2026, 11, 21)
WAIVER = Waiver(case="suite/*", metric=None, reason="known", link="https://example.org/1", expires=datetime.date(2027, 1, 31))


def answers(
    n: int, *, wrong: Collection[int] = (), unread: Collection[int] = (), subject: str = "facts", prefix: str = "q", run: str = "run-1"
) -> list[Reply]:
    """``n`` items, all answered right but for some."""
    return [
        Reply(
            run=run,
            index=index,
            item=f"{prefix}{index}",
            subject=subject,
            text="?" if index in unread else "B" if index in wrong else "A",
            correct=None if index in unread else index not in wrong,
        )
        for index in range(n)
    ]
