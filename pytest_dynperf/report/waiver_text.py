"""Waivers in words: who agreed to live with what, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.baseline.waiver import Waiver
    from pytest_dynperf.report.session_report import CaseResult


def waived(waiver: Waiver) -> str:
    """``waived until 2026-12-31: the new sampler, https://…``."""
    return f"waived until {waiver.expires.isoformat()}: {_why(waiver)}"


def expired(waiver: Waiver) -> str:
    """``a waiver expired on 2026-01-31: …``, with the metric where it is for one."""
    of = f" of {waiver.metric}" if waiver.metric is not None else ""
    return f"a waiver{of} expired on {waiver.expires.isoformat()}: {_why(waiver)}"


def remedy() -> str:
    """What to do about one that has expired."""
    return "An expired waiver fails its case until somebody renews or removes it in waivers.toml."


def expired_cases(results: Sequence[CaseResult]) -> tuple[tuple[CaseResult, Waiver], ...]:
    """Each expired waiver with its case, in the order of the session."""
    return tuple((result, waiver) for result in results for waiver in result.verdict.expired)


def _why(waiver: Waiver) -> str:
    return ", ".join(part for part in (waiver.reason, waiver.link) if part)
