"""What each way to less noise buys on the embedded stack, from the pairs of all sessions. Pure: tables of session.json in, a table out.

All variances are of logarithms within one duet, so a slowdown counts for nothing. A covariate is the difference of the host's busy share of
CPU time: how much of the pairs' variance a line through it takes away in sessions that the line was not drawn from.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import digamma

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_FEWEST_PAIRS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """One cell of one duet. ``candidate`` and ``control`` are logarithms of the values, ``busy`` the difference of the busy shares of the
    host's CPU time; one entry a pair, in the order in which they were measured.
    """

    cell: str
    session: str
    candidate: np.ndarray
    control: np.ndarray
    busy: np.ndarray


def pairs_of(session: Mapping[str, Any]) -> Iterator[Pairs]:
    """Every decisive cell of every duet of a session.json (schema 2) whose values are all there."""
    for case in session["cases"]:
        duet = case["duet"]
        decisive = {(cell["id"], cell["statistic"]) for cell in case["metrics"] if (cell["verdict"] or {}).get("decisive")}
        if duet is None or len(duet["pairs"]) < _FEWEST_PAIRS:
            continue
        busy = np.array([_busy(pair["candidate"]) - _busy(pair["control"]) for pair in duet["pairs"]])
        for cell in duet["metrics"]:
            values = [cell["candidate"], cell["control"]]
            if (cell["id"], cell["statistic"]) not in decisive or any(
                not side or len(side) != len(busy) or any(value is None or value <= 0 for value in side) for side in values
            ):
                continue
            candidate, control = (np.log(side) for side in values)
            yield Pairs(
                cell=f"{cell['id']} {cell['statistic']}", session=session["session_id"], candidate=candidate, control=control, busy=busy
            )


def table(sessions: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, one row a cell: standard deviation of the difference of two runs, and what is left of its variance (1.00: all of it)."""
    grouped: dict[str, list[Pairs]] = defaultdict(list)
    for session in sessions:
        for pairs in pairs_of(session):
            grouped[pairs.cell].append(pairs)
    columns = ["cell", "duets", "pairs", "unpaired", "next to each other", "and the same prompts", "and the host's load taken out"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for cell, several in sorted(grouped.items()):
        found = [pairs for pairs in several if min(way(pairs) for way in _DEGREES) > 0]  # what is exact has no noise to take off
        if not found:
            continue
        apart, near, pair = (typical(found, way) for way in (unpaired, neighbours, paired))
        shown = [
            f"{np.sqrt(apart):.2%}",
            *(f"{np.sqrt(value):.2%} ({value / apart:.2f})" for value in (near, pair, pair * left_by_line(found))),
        ]
        lines.append(f"| {' | '.join([cell, str(len(found)), str(sum(len(pairs.busy) for pairs in found)), *shown])} |")
    return "\n".join(lines)


def unpaired(pairs: Pairs) -> float:
    """Variance of the difference of one run of each arm, whatever their prompts and times."""
    return float(np.var(pairs.candidate, ddof=1) + np.var(pairs.control, ddof=1))


def neighbours(pairs: Pairs) -> float:
    """Variance of the difference of a candidate and the control of the pair after it: near in time, with other prompts."""
    return float(np.var(pairs.candidate[:-1] - pairs.control[1:], ddof=1))


def paired(pairs: Pairs) -> float:
    """Variance of the difference of a pair: near in time, with the same prompts."""
    return float(np.var(pairs.candidate - pairs.control, ddof=1))


_DEGREES: dict[Callable[[Pairs], float], Callable[[int], int]] = {
    unpaired: lambda pairs: 2 * (pairs - 1),
    neighbours: lambda pairs: pairs - 2,
    paired: lambda pairs: pairs - 1,
}
"""Degrees of freedom of each, by the number of pairs."""


def typical(found: Sequence[Pairs], way: Callable[[Pairs], float]) -> float:
    """Geometric mean over duets, so that a noisy one counts as much as a quiet one. The logarithm of a variance of few values is too small
    on average, by digamma(d/2) - log(d/2) for d degrees of freedom: that is put back.
    """
    degrees = np.array([_DEGREES[way](len(pairs.busy)) for pairs in found]) / 2
    return float(np.exp(np.mean(np.log([way(pairs) for pairs in found]) - digamma(degrees) + np.log(degrees))))


def left_by_line(found: Sequence[Pairs]) -> float:
    """Share of the pairs' variance that is left when a line through the difference of the host's busy share, drawn from all other sessions,
    is taken off: below 1 where it helps, above 1 where it does harm. Every duet counts the same, in units of its own spread.
    """
    units = [(pairs.session, _centred(pairs.busy), _centred(pairs.candidate - pairs.control)) for pairs in found]
    scaled = [(name, busy / np.std(moved), moved / np.std(moved)) for name, busy, moved in units]
    before = after = 0.0
    for session in {name for name, _, _ in scaled}:
        xy = sum(float(busy @ moved) for name, busy, moved in scaled if name != session)
        xx = sum(float(busy @ busy) for name, busy, _ in scaled if name != session)
        slope = xy / xx if xx else 0.0
        for name, busy, moved in scaled:
            if name == session:
                before += float(moved @ moved)
                after += float(np.sum((moved - slope * busy) ** 2))
    return after / before if before else 1.0


def _busy(run: Mapping[str, Any]) -> float:
    witness = run["witness"]
    return float(witness["host.busy_cpu_s"]) / float(witness["host.cpu_s"])


def _centred(values: np.ndarray) -> np.ndarray:
    return np.asarray(values - np.mean(values))
