"""What ``dynperf doctor`` says to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.report.wording import counted
from pytest_dynperf.report.wrapping import wrapped
from pytest_dynperf.session.doctor_finding import Lack, missing, severity_of

if TYPE_CHECKING:
    from pytest_dynperf.session.doctor import Diagnosis
    from pytest_dynperf.session.doctor_finding import Finding

_MARK = 9
"""Width of the first column: the longest severity and two blanks."""
_COLOURS = {"missing": "31", "warning": "33", "unknown": "36", "fine": "32"}


def doctor_lines(diagnosis: Diagnosis, *, width: int, colour: bool, verbose: bool) -> list[str]:
    """The findings, worst first, what is fine only when ``verbose``; then a line for every platform, and one that says it all."""
    lines = wrapped(f"dynperf doctor: this machine for {', '.join(diagnosis.asked)} ({diagnosis.why})", width)
    lines.append("")
    told = [finding for finding in diagnosis.shown if verbose or isinstance(finding, Lack)]
    for finding in told:
        lines += _finding_lines(finding, width=width, colour=colour)
    if told:
        lines.append("")
    lines += _platform_lines(diagnosis, width=width)
    return [*lines, "", *wrapped(_verdict(diagnosis), width)]


def _finding_lines(finding: Finding, *, width: int, colour: bool) -> list[str]:
    severity = severity_of(finding)
    first, *others = _column(f"{finding.what}: {finding.found}", width)
    mark = f"\x1b[{_COLOURS[severity]}m{severity}\x1b[0m" if colour else severity
    lines = [mark + " " * (_MARK - len(severity)) + first, *(" " * _MARK + text for text in others)]
    if isinstance(finding, Lack):
        lines += [" " * _MARK + text for text in _column(f"→ {finding.remedy}", width)]
    return lines


def _column(text: str, width: int) -> list[str]:
    return wrapped(text, max(20, width - _MARK)) or [""]


def _platform_lines(diagnosis: Diagnosis, *, width: int) -> list[str]:
    longest = max(map(len, diagnosis.findings))
    lines = []
    for name, findings in sorted(diagnosis.findings.items()):
        lacks = list(dict.fromkeys(finding.what for finding in findings if missing(finding)))
        said = "can run here" if not lacks else f"lacks {', '.join(lacks)}"
        first, *others = wrapped(said, max(20, width - longest - 2))
        lines += [f"{name:<{longest}}  {first}", *(" " * (longest + 2) + text for text in others)]
    return lines


def _verdict(diagnosis: Diagnosis) -> str:
    lacking = [name for name in diagnosis.asked if not diagnosis.can_run(name)]
    counts = {word: sum(severity_of(finding) == word for finding in diagnosis.shown) for word in ("missing", "warning", "unknown", "fine")}
    told = f"{counts['missing']} missing, {counted(counts['warning'], 'warning')}, {counts['unknown']} unknown, {counts['fine']} fine"
    if lacking:
        return f"{', '.join(lacking)} cannot run here: {told}"
    return f"{', '.join(diagnosis.asked)} can run here: {told}"
