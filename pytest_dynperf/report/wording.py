"""Numbers and outcomes in words for people. Formats what was computed below; changes scale for display (seconds to ms), never meaning.

Units are the symbols that stand in files (:class:`~pytest_dynperf.quantity.Unit`), so that a file of a newer version can be shown too.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Direction, Unit
from pytest_dynperf.report.standing import Standing, standing, tally
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.report.session_report import CaseResult, SessionReport

ABSENT = "–"
_SHORT_UNITS = {
    Unit.TOKENS_PER_SECOND.value: "tok/s",
    Unit.TOKENS_PER_SECOND_PER_USER.value: "tok/s/user",
    Unit.TOKENS_PER_SECOND_PER_GPU.value: "tok/s/GPU",
    Unit.REQUESTS_PER_SECOND.value: "req/s",
}
_NAMED_CASES = 3
"""A verdict sentence names this many cases and counts the rest."""


def digits(value: float) -> str:
    """Three significant digits, whole from a hundred on, thousands separated: ``5.87``, ``531``, ``12,345``."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    text = f"{abs(value):.3g}" if magnitude < -4 else f"{abs(value):,.{max(0, 2 - magnitude)}f}"
    return f"−{text}" if value < 0 else text


def scaled(value: float, unit: str | None) -> float:
    """``value`` in the unit that :func:`unit_shown` names: seconds become ms, ratios become per cent."""
    return value * {Unit.SECONDS.value: 1e3, Unit.RATIO.value: 1e2}.get(unit or "", 1.0)


def unit_shown(unit: str | None) -> str:
    """``ms`` for seconds, ``%`` for ratios, ``tok/s`` for tokens/s; an unknown one is said to be unknown."""
    if unit is None:
        return "(unit unknown)"
    return {Unit.SECONDS.value: "ms", Unit.RATIO.value: "%", **_SHORT_UNITS}.get(unit, unit)


def quantity(value: float | None, unit: str | None) -> str:
    """``5.87 ms``, ``531 tok/s``, ``0.4 %``; ``–`` for ``None``."""
    return ABSENT if value is None else f"{digits(scaled(value, unit))} {unit_shown(unit)}"


def quantities(values: Sequence[float | None], unit: str | None) -> str:
    """``6.55, 6.57, 6.61 ms``: one unit for the list, ``–`` for ``None`` and for an empty list."""
    if not any(value is not None for value in values):
        return ABSENT
    shown = ", ".join(ABSENT if value is None else digits(scaled(value, unit)) for value in values)
    return f"{shown} {unit_shown(unit)}"


def absent(reason: str) -> str:
    """``– (fewer than 100 values)``."""
    return f"{ABSENT} ({reason})" if reason else ABSENT


def _natural(delta_log: float, direction: str | None) -> float:
    """The logarithm of now/before, from one that is signed so that + is worse."""
    return -delta_log if direction == Direction.HIGHER_IS_BETTER.value else delta_log


def _relative(log_ratio: float) -> str:
    """``+11.9``, or ``×23.4`` from a tenfold on, where per cent say less than a factor."""
    if log_ratio > math.log(10):
        return f"×{math.exp(min(log_ratio, 700.0)):.3g}"
    per_cent = math.expm1(log_ratio) * 100
    return f"{'−' if per_cent < 0 else '+'}{abs(per_cent):.1f}"


def change(delta_log: float | None, direction: str | None) -> str:
    """A judge's logarithm (+ is worse) as a change of the metric itself: slower throughput reads ``−10.6 %``, slower ITL ``+11.9 %``."""
    if delta_log is None:
        return ABSENT
    text = _relative(_natural(delta_log, direction))
    return text if text.startswith("×") else f"{text} %"


def interval(bounds_log: tuple[float, float] | None, direction: str | None) -> str:
    """``[+9.8, +14.1]`` in per cent like :func:`change`, the lower end of the metric's own change first."""
    if bounds_log is None:
        return ABSENT
    low, high = sorted(_natural(bound, direction) for bound in bounds_log)
    return f"[{_relative(low)}, {_relative(high)}]"


def change_with_interval(delta_log: float | None, bounds_log: tuple[float, float] | None, direction: str | None) -> str:
    """``+11.9 % [+9.8, +14.1]``."""
    if delta_log is None:
        return ABSENT
    return change(delta_log, direction) + (f" {interval(bounds_log, direction)}" if bounds_log is not None else "")


def size(amount_log: float | None, direction: str | None) -> str:
    """The size of a worsening (MDE) without sign: ``7.8 %`` for a latency; for a throughput the same logarithm is ``7.2 %``."""
    return change(amount_log, direction).lstrip("+−")


def percent(fraction: float | None) -> str:
    """``0.5 %`` of ``0.0047``, ``3 %`` of ``0.03``: run CV, tolerance, shares."""
    return ABSENT if fraction is None else f"{fraction * 100:.1f}".removesuffix(".0").replace("-", "−") + " %"


def duration(seconds: float) -> str:
    """``20 ms``, ``12.3 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def instant(stamp: str) -> str:
    """``2026-11-21 03:05:01 UTC`` of the stamp ``20261121T030501Z``; any other text as it is."""
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return stamp


def resumed_sentence(report: SessionReport) -> str:
    """That the session was cut short and went on, and which cases were measured before; empty where it was not."""
    if not report.resumed:
        return ""
    earlier = [result.case.name for result in report.earlier]
    which = f": {', '.join(earlier)}" if earlier else ""
    return f"the session was cut short and went on at {instant(report.resumed[-1])}; {counted(len(earlier), 'case')} measured before{which}"


def counted(number: int, noun: str) -> str:
    """``1 case``, ``4 cases``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def counts(results: Sequence[CaseResult]) -> dict[Outcome, int]:
    """Cases by outcome, worst first, without those that did not occur."""
    found = Counter(result.verdict.outcome for result in results)
    return {outcome: found[outcome] for outcome in sorted(found, reverse=True)}


def counts_sentence(results: Sequence[CaseResult]) -> str:
    """``1 regressed, 1 regressed (waived), 3 unchanged``."""
    return ", ".join(f"{number} {one.outcome.text}{_noted(one)}" for one, number in tally(results).items()) or "no case"


def _noted(one: Standing) -> str:
    return f" ({', '.join(one.notes)})" if one.notes else ""


def verdict_sentence(report: SessionReport) -> str:
    """The session in a sentence: ``1 of 4 cases regressed: agg-c4; 1 is invalid.`` Before it, whether the session is incomplete."""
    sentences = [] if report.complete else [_incomplete(report)]
    if not report.results:
        return " ".join([*sentences, "No case was measured."])
    found = tally(report.results)
    worst, *others = found
    text = f"{found[worst]} of {counted(len(report.results), 'case')} {worst.predicate(found[worst])}"
    if len(found) == 1 and worst.outcome is not Outcome.REGRESSED:
        return " ".join([*sentences, f"{text}."])
    one_suite = len({result.case.suite for result in report.results}) == 1
    worst_cases = [result.case for result in report.results if standing(result.verdict) == worst]
    text += ": " + named([case.case_id if one_suite else case.name for case in worst_cases])
    rest = [f"{found[one]} {one.predicate(found[one])}" for one in others]
    return " ".join([*sentences, "; ".join([text, *rest]) + "."])


def _incomplete(report: SessionReport) -> str:
    causes = [report.interrupted] if report.interrupted is not None else []
    if report.missing:
        causes.append(f"{counted(len(report.missing), 'case')} not reported")
    return f"Session incomplete ({', '.join(causes)})."


def named(names: Sequence[str], most: int = _NAMED_CASES) -> str:
    """``a, b, c and 4 more``."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
