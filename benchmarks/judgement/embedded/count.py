"""What the sessions say: cells judged and regressed, sessions found, runs and minutes. Pure: tables of session.json in, a table out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scipy.stats import beta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_JUDGED = ("unchanged", "improved", "inconclusive", "regressed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Of all sessions of a kind. ``outcomes`` of decisive cells; ``found``: sessions with at least one regressed case."""

    sessions: int = 0
    found: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    suspects: int = 0
    runs: int = 0
    minutes: float = 0.0

    @property
    def judged(self) -> int:
        """Cells with an outcome that compares."""
        return sum(self.outcomes[outcome] for outcome in _JUDGED)


def counted(sessions: Sequence[Mapping[str, Any]]) -> Counted:
    """``sessions``: read from their files, schema 2."""
    cases = [case for session in sessions for case in session["cases"]]
    verdicts = [cell["verdict"] for case in cases for cell in case["metrics"] if cell["verdict"] and cell["verdict"]["decisive"]]
    return Counted(
        sessions=len(sessions),
        found=sum(any(case["verdict"]["outcome"] == "regressed" for case in session["cases"]) for session in sessions),
        outcomes=Counter(verdict["outcome"] for verdict in verdicts),
        suspects=sum(bool(verdict["suspect"]) for verdict in verdicts),
        runs=sum(_runs(case) for case in cases),
        minutes=sum(session["duration_s"] for session in sessions) / 60,
    )


def _runs(case: Mapping[str, Any]) -> int:
    """Measured in all, those that were invalid too."""
    confirmation, duet = case["confirmation"] or {}, case["duet"] or {}
    single = sum(len(part.get(name) or ()) for part in (case, confirmation) for name in ("runs", "discarded"))
    return single + 2 * sum(len(duet.get(name) or ()) for name in ("pairs", "discarded"))


def upper_bound(count: int, n: int, *, confidence: float = 0.95) -> float:
    """Of a share, one-sided (Clopper and Pearson): 0 of 600 is at most .5 %."""
    return 1.0 if count >= n else float(beta.ppf(confidence, count + 1, n - count))


def table(kinds: Mapping[str, Counted]) -> str:
    """Markdown; kinds without a session are left out."""
    columns = [
        "sessions",
        "number",
        "sessions with a regression",
        "cells judged",
        "regressed",
        "at most (95 %)",
        "inconclusive",
        "suspects",
    ]
    columns += ["not judged", "runs", "minutes"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for kind, found in kinds.items():
        if not found.sessions:
            continue
        regressed, judged = found.outcomes["regressed"], found.judged
        bound = f"{upper_bound(regressed, judged):.2%}" if judged else ""
        cells = [kind, found.sessions, found.found, judged, regressed, bound, found.outcomes["inconclusive"], found.suspects]
        cells += [sum(found.outcomes.values()) - judged, found.runs, f"{found.minutes:.0f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
