"""Where a regression may come from: the stages whose own metrics moved, and what provenance shows to have changed.

Suspicions, never findings: a stage may move because another one did, and nothing here was measured to tell. Nothing is said where nothing
moved, and a stage of which no metric is known is not accused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Unit
from pytest_dynperf.verdict import stage
from pytest_dynperf.verdict.changed import recorded_changes
from pytest_dynperf.verdict.move import Move, Sides, move_of, of_differences, sides
from pytest_dynperf.verdict.suspicion import Suspicion
from pytest_dynperf.verdict.terms import CATALOGUE_TERMS
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.measurement.measurement import Duet, Measurement
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.observation.recording import Certificate
    from pytest_dynperf.verdict.terms import Terms
    from pytest_dynperf.verdict.verdict import CellVerdict, Verdict

_SHARE_OF_RISE, _SHARE_OF_WHOLE = 0.05, 0.01
"""What lies on the way to the first token explains something from 5 % of its rise on, and from 1 % of what it was."""

_LAG_SHARE = 0.25
"""Without a control a lag has no before; it is noteworthy from a quarter of the regression on."""

_LAG_RESOLUTION_S, _LAG_PRIOR_SD, _LAG_STRENGTH = 1e-4, 0.3, 2.5

_LAGS: Mapping[str, Callable[[Certificate], float | None]] = {
    "send lag p99": lambda certificate: certificate.send_lag_p99_s,
    "receive lag p99": lambda certificate: certificate.receive_lag_p99_s,
    "event loop lag p99": lambda certificate: certificate.loop_lag_p99_s,
}


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A suspicion, and by how many standard errors its evidence moved."""

    strength: float
    suspicion: Suspicion


def suspicions(
    verdict: Verdict,
    candidate: Measurement,
    documents: Sequence[Baseline],
    *,
    provenance: Mapping[str, str],
    baseline_provenance: Mapping[str, str],
    duet: Duet | None = None,
    terms: Terms = CATALOGUE_TERMS,
) -> tuple[Suspicion, ...]:
    """Of a case with a regressed cell; empty without one. First the stages, the one that moved most against its noise first, each with its
    strongest evidence; then recorded changes: versions, arguments, host.

    ``candidate`` is compared with ``documents``, or its pairs in ``duet`` with their control, which then lends its provenance too.
    Costs about 0.1 ms per metric with ten documents.
    """
    if not any(cell.outcome is Outcome.REGRESSED for cell in verdict.cells):
        return ()
    seen = sides(candidate, documents, duet, terms)
    found = _stated(seen)
    found += _first_tokens(seen, {one.suspicion.what for one in found})
    found += _client(seen, verdict)
    best: dict[str, _Ranked] = {}
    for one in sorted(found, key=lambda one: -one.strength):
        best.setdefault(one.suspicion.what, one)
    control = duet.control_provenance if duet is not None and seen.pairs else {}
    other, name = (control, "the control") if control else (baseline_provenance, "the newest baseline")
    return (*(one.suspicion for one in best.values()), *recorded_changes(provenance, other, name))


def _stated(seen: Sides) -> list[_Ranked]:
    """What speaks of one stage by itself."""
    least_s = _least_noteworthy_s(seen)
    found = []
    for evidence in stage.EVIDENCE:
        move = move_of(evidence.cell, seen)
        if move is None or not move.worse or (evidence.on_the_way and move.now - move.before < least_s):
            continue
        found.append(_ranked(evidence.stage, evidence.sentence, evidence.cell, move))
    return found


def _least_noteworthy_s(seen: Sides) -> float:
    """Of a part of the time to first token, in seconds; 0 where that is not known."""
    _, move = _first_held(stage.CLIENT_FIRST_TOKEN, seen)
    return 0.0 if move is None else max(_SHARE_OF_RISE * (move.now - move.before), _SHARE_OF_WHOLE * move.before)


def _first_tokens(seen: Sides, accused: set[str]) -> list[_Ranked]:
    """First tokens that came later while tokens did not: prefill, by what queue and router leave; else what lies before the server."""
    inter_token = move_of(stage.INTER_TOKEN, seen)
    if inter_token is None or inter_token.worse or accused & {stage.PREFILL, stage.TRANSFER}:
        return []
    client_cell, client = _first_held(stage.CLIENT_FIRST_TOKEN, seen)
    server_cell, server = _first_held(stage.SERVER_FIRST_TOKEN, seen)
    cell, move = (server_cell, server) if server is not None else (client_cell, client)
    if cell is None or move is None:
        return []
    rest = move_of(cell, seen, less=(stage.QUEUE_TIME, stage.ROUTER_OVERHEAD))
    if move.worse and rest is not None and rest.worse:
        known = move_of(stage.QUEUE_TIME, seen) is not None
        sentence = stage.LATE_BEYOND_QUEUE if known else stage.LATE_QUEUE_UNKNOWN
        return [_ranked(stage.PREFILL, sentence, cell, move, strength=rest.strength)]
    if client_cell is not None and client is not None and client.worse and not move.worse and not accused:
        return [_ranked(stage.CLIENT, stage.LATE_BEFORE_SERVER, client_cell, client)]
    return []


def _first_held(cells: Sequence[Cell], seen: Sides) -> tuple[Cell | None, Move | None]:
    for cell in cells:
        if (move := move_of(cell, seen)) is not None:
            return cell, move
    return None, None


def _ranked(what: str, sentence: str, cell: Cell, move: Move, *, strength: float | None = None) -> _Ranked:
    told = Suspicion(what=what, sentence=sentence, cell=cell, before=move.before, now=move.now, delta=move.delta)
    return _Ranked(move.strength if strength is None else strength, told)


def _client(seen: Sides, verdict: Verdict) -> list[_Ranked]:
    """By the lags of the certificates: of pairs against the control's; else, because documents hold none, against the regression."""
    if len(seen.pairs) > 1:
        return [one for name, lag in _LAGS.items() if (one := _lag_of_pairs(name, lag, seen)) is not None]
    rise_s = max((rise for cell in verdict.cells if (rise := _rise_s(cell, seen.terms)) is not None), default=0.0)
    found = []
    for name, lag in _LAGS.items():
        lags = [value for run in seen.runs if (value := lag(run.certificate)) is not None and math.isfinite(value)]
        if rise_s > 0 and lags and len(lags) == len(seen.runs) and median(lags) >= _LAG_SHARE * rise_s:
            # No noise is known, so it comes after what was measured to move.
            found.append(_Ranked(0.0, _lagged(stage.LAGGED_ALONE, name, None, median(lags))))
    return found


def _lag_of_pairs(name: str, lag: Callable[[Certificate], float | None], seen: Sides) -> _Ranked | None:
    known = []
    for candidate, control in seen.pairs:
        ours, theirs = lag(candidate.certificate), lag(control.certificate)
        if ours is None or theirs is None or not (math.isfinite(ours) and math.isfinite(theirs) and min(ours, theirs) >= 0):
            return None
        known.append((ours, theirs))
    differences = [math.log((ours + _LAG_RESOLUTION_S) / (theirs + _LAG_RESOLUTION_S)) for ours, theirs in known]
    effect, standard_error, _ = of_differences(differences, _LAG_PRIOR_SD)
    if effect / standard_error < _LAG_STRENGTH:
        return None
    before, now = median(theirs for _, theirs in known), median(ours for ours, _ in known)
    return _Ranked(effect / standard_error, _lagged(stage.LAGGED, name, before, now))


def _rise_s(cell: CellVerdict, terms: Terms) -> float | None:
    meaning = terms.meanings.get(cell.cell.metric)
    if meaning is None or meaning.unit is not Unit.SECONDS or cell.outcome is not Outcome.REGRESSED:
        return None
    return None if cell.candidate is None or cell.baseline is None else cell.candidate - cell.baseline


def _lagged(sentence: str, name: str, before_s: float | None, now_s: float) -> Suspicion:
    """It has no cell: a certificate is no metric. People read milliseconds."""
    return Suspicion(
        what=stage.CLIENT,
        sentence=sentence,
        before=before_s,
        now=now_s,
        delta=math.log(now_s / before_s) if before_s and now_s > 0 else None,
        name=name,
        text_before=None if before_s is None else f"{before_s * 1e3:.3g} ms",
        text_now=f"{now_s * 1e3:.3g} ms",
    )
