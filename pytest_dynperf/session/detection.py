"""What a session could find, before it is run: the smallest regression of each gate, and what it takes to find a given one.

In: the baselines that there are, which say how runs and sessions scatter. Out: numbers, 80 % power each. Magnitudes only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from statistics import median, stdev
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.ring import RING
from pytest_dynperf.baseline.store import read
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.session.layout import SIDE_BY_SIDE, cost_of
from pytest_dynperf.verdict.detectable import detectable_by_duet, detectable_by_fresh_session, pairs_needed
from pytest_dynperf.verdict.duet import BLOCKS
from pytest_dynperf.verdict.run_noise import planned_noise
from pytest_dynperf.verdict.sequential import LOOKS
from pytest_dynperf.verdict.terms import CATALOGUE_TERMS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.verdict.terms import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """Of one decisive gate, as fractions (.05: 5 %). ``pairs`` (for the least that is needed) and ``sessions`` answer what it takes to find
    the regression that was asked for; ``None`` where no number of them does, or nothing was asked.
    """

    cell: Cell
    by_fresh_session: float | None
    by_duet: float | None
    pairs: int | None = None
    sessions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """How many pairs a case may come to, and whether its arms run one at a time."""

    pairs: int = LOOKS[-1]
    blocks: bool = False


def documents_for(case: Case, baselines: Path) -> tuple[Baseline, ...]:
    """Those that the case would probably be compared with: of its platform, its load and its topology, newest key first. On which machine
    it will run is not asked.
    """
    try:
        everything = read(baselines, suite=case.suite, case_id=case.case_id, key={}).others
        wanted = {"topology.shape": case.topology.shape, "topology.engine": case.topology.engine, "workload": case.traffic.workload_hash}
        like = [
            document
            for document in everything
            if document.environment_name.startswith(case.platform) and all(document.key.get(name) == wanted[name] for name in wanted)
        ]
        return read(baselines, suite=case.suite, case_id=case.case_id, key=like[-1].key).documents if like else ()
    except BaselineError:
        return ()  # the case itself will say it, where it counts


def pairs_s(pairs: int, *, run_s: float, start_s: float, blocks: bool = False) -> float:
    """How long so many pairs take: both arms start, in blocks each time anew."""
    runs, starts = cost_of(BLOCKS if blocks else SIDE_BY_SIDE, pairs)
    return runs * run_s + starts * start_s


def affordable_pairs(budget_s: float | None, *, run_s: float, start_s: float, blocks: bool = False) -> int:
    """The last look that one case reaches within the budget; 0 where it reaches none."""
    reached = [look for look in LOOKS if budget_s is None or pairs_s(look, run_s=run_s, start_s=start_s, blocks=blocks) <= budget_s]
    return max(reached, default=0)


def detectable(
    case: Case, documents: Sequence[Baseline], affordable: Affordable, *, detect: float | None = None, terms: Terms = CATALOGUE_TERMS
) -> tuple[Detectable, ...]:
    """One for each decisive gate on a magnitude that the documents tell of; none without documents."""
    found, counts = [], range(1, RING + 1)
    for gate in case.expectation.gates:
        noise = planned_noise(gate.cell, documents, terms=terms) if gate.decisive and documents else None
        meaning = terms.meanings.get(gate.cell.metric)
        if noise is None or meaning is None or meaning.kind is not Kind.MAGNITUDE:
            continue
        deployment_sd = noise.deployment_sd if affordable.blocks else 0.0
        by_fresh_session = partial(
            detectable_by_fresh_session,
            prior_sd=terms.prior_of(meaning, gate.cell.statistic),
            runs=case.traffic.runs,
            tolerance=gate.tolerance,
            session_sd=_session_sd(gate.cell, documents),
            run_sd=noise.run_sd,
        )
        duet = detectable_by_duet(noise.run_sd, affordable.pairs, gate.tolerance, deployment_sd=deployment_sd)
        found.append(
            Detectable(
                cell=gate.cell,
                by_fresh_session=_fraction(by_fresh_session(sessions=len(documents))),
                by_duet=_fraction(duet),
                pairs=None if detect is None else pairs_needed(noise.run_sd, detect, gate.tolerance, deployment_sd=deployment_sd),
                sessions=next((count for count in counts if _finds(by_fresh_session(sessions=count), detect)), None),
            )
        )
    return tuple(found)


def _finds(log: float | None, detect: float | None) -> bool:
    return log is not None and detect is not None and log <= math.log1p(detect)


def _fraction(log: float | None) -> float | None:
    return None if log is None else math.expm1(log)


def _session_sd(cell: Cell, documents: Sequence[Baseline]) -> float | None:
    """How far the medians of the sessions lie apart, as logarithms; ``None`` below two sessions."""
    values = [[run.values[cell] for run in document.runs if run.values.get(cell, 0.0) > 0] for document in documents]
    medians = [math.log(median(one)) for one in values if one]
    return stdev(medians) if len(medians) > 1 else None
