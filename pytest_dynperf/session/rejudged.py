"""Sessions judged again: the same rule over the measurements in their files, with the same or with other expectations.

Nothing of a session is changed. Without any change of what is asked the answer is that of the night, cell by cell: baselines that this
session itself became, newer ones, and those that were accepted later under an earlier stamp take no part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.proposal import binding_key
from pytest_dynperf.baseline.store import document_files, found_among, stored
from pytest_dynperf.baseline.waivers import read_waivers, waivers_path
from pytest_dynperf.errors import BaselineError, UsageError
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.session.collector import collector_paused
from pytest_dynperf.session.parity_records import rejudged_parity
from pytest_dynperf.verdict.annotate import annotate
from pytest_dynperf.verdict.confirmation import confirm
from pytest_dynperf.verdict.duet import confirm_by_duet
from pytest_dynperf.verdict.judge import invalid, judge
from pytest_dynperf.verdict.sequential import Step, next_step
from pytest_dynperf.verdict.suspect import suspicions
from pytest_dynperf.verdict.terms import Terms
from pytest_dynperf.verdict.verdict import Means, Outcome
from pytest_dynperf.verdict.waive import waive
from pytest_dynperf.verdict.weigh import flaws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.baseline.found import Found
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.scenario.expectation import Expectation, Gate
    from pytest_dynperf.session.session_files import SessionFile
    from pytest_dynperf.verdict.arm_parity import ArmParity
    from pytest_dynperf.verdict.verdict import CellVerdict, Verdict

WITHHELD = "the file holds no values of an invalid case: its recorded verdict stands"
_ALMOST = 1e-9
"""Numbers that differ by less, relatively, are equal: another machine's mathematics library may round the last digit otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a session. ``baselines``: where to read them, ``None`` for the directory that the session used. ``all_baselines``:
    also those that the session did not know: newer ones, and those that it became itself. ``tolerances`` by cell stand in for those of the
    gates; ``gates`` for the gates. ``today`` decides which waivers hold, ``None`` for the day of the session.
    """

    baselines: Path | None = None
    all_baselines: bool = False
    tolerances: Mapping[Cell, float] = field(default_factory=dict)
    gates: tuple[Gate, ...] | None = None
    today: date | None = None

    @property
    def changes_expectation(self) -> bool:
        """Whether anything else is promised than in the night."""
        return bool(self.tolerances) or self.gates is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One verdict that is not as recorded. ``cell`` is ``None`` for that of the case; ``name`` says what differs, such as ``delta``."""

    case: str
    cell: Cell | None
    name: str
    recorded: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """``report`` is the session with new verdicts. ``differences`` from the recorded ones, ``notes`` what could not be judged again."""

    file: Path
    report: SessionReport
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def rejudge(session: SessionFile, question: Question, *, told: Callable[[str], None] = lambda _: None) -> Rejudged:
    """Judge every case of the session again; ``told`` hears which. Costs one read per baseline document of its cases.

    :raises UsageError: when the baselines that the session was compared with are not there, or none of them is in ``question.baselines``.
    :raises BaselineError: when the waivers cannot be read.
    """
    with collector_paused():
        return _rejudge(session, question, told)


def _day(stamp: str) -> date:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).date()
    except ValueError as error:
        msg = f"key 'stamp' is {stamp!r}, expected UTC such as 20261121T070501Z: without it nothing says which baselines were there"
        raise UsageError(msg) from error


def _rejudge(session: SessionFile, question: Question, told: Callable[[str], None]) -> Rejudged:
    report = session.report
    root = _root(session, question)
    waivers = read_waivers(waivers_path(root))
    today = question.today or _day(report.stamp)
    results, notes = [], []
    for result in report.results:
        told(result.case.name)
        asked = result
        if question.changes_expectation:
            asked = replace(result, case=replace(result.case, expectation=expectation_of(result, question)))
        answer = _judged(asked, report, root, question)
        if answer is None:
            notes.append(f"{result.case.name}: {WITHHELD}")
        else:
            verdict, documents = answer
            asked = _with(asked, verdict.under(*_untold(result, verdict)), documents)
            with_answers, parity, note = rejudged_parity(asked, asked.verdict, session.file.parent)
            asked = replace(asked, verdict=with_answers, parity=parity)
            notes += [note] if note is not None else []
        results.append(replace(asked, verdict=waive(asked.verdict, case_name=result.case.name, waivers=waivers, today=today)))
    annotations = annotate([(result.case.name, result.verdict) for result in results])
    return Rejudged(
        file=session.file,
        report=replace(report, results=tuple(results), annotations=annotations, accepted=(), refused=(), baseline_directory=str(root)),
        differences=tuple(
            difference
            for before, now in zip(report.results, results, strict=True)
            for difference in differences_of(before, now, outcomes_only=question.changes_expectation)
        ),
        notes=tuple(notes),
    )


def expectation_of(result: CaseResult, question: Question) -> Expectation:
    """What the case promises, as the question has it."""
    gates = result.case.expectation.gates if question.gates is None else question.gates
    gates = tuple(replace(gate, tolerance=question.tolerances.get(gate.cell, gate.tolerance)) for gate in gates)
    return replace(result.case.expectation, gates=gates)


def terms_of(result: CaseResult) -> Terms:
    """What the case was judged on: its file's definitions before those of this installation."""
    return Terms(meanings={**MEANINGS, **result.meanings}, prior_sd=result.prior_sd, duet=result.duet_possible)


def _root(session: SessionFile, question: Question) -> Path:
    if question.baselines is not None:
        if not question.baselines.is_dir():
            msg = f"{question.baselines}: there is no such directory of baselines (--baselines)"
            raise UsageError(msg)
        _require_one_of_the_night(session, question)
        return question.baselines
    root = Path(session.report.baseline_directory)
    compared = any(cell.sessions for result in session.report.results for cell in result.verdict.cells)
    if compared and not root.is_dir():
        msg = f"{session.file}: it was compared with baselines in {root}, which is not here. Say where they are: --baselines DIR"
        raise UsageError(msg)
    return root


def _require_one_of_the_night(session: SessionFile, question: Question) -> None:
    """Another store than that of the night holds nothing that the night knew, and every case would be without a baseline."""
    root = question.baselines
    names = {name for result in session.report.results for name in result.verdict.compared_with or ()}
    if root is None or question.all_baselines or not names:
        return
    if not any(path.stem in names for path in document_files(root)):
        msg = (
            f"{root}: none of the {len(names)} documents that {session.file} was compared with is there (--baselines). "
            "Give the store that holds them, or compare with whatever this one holds: --all-baselines"
        )
        raise UsageError(msg)


def _untold(recorded: CaseResult, verdict: Verdict) -> tuple[str, ...]:
    """What the night said beside its judgement, and judging again cannot know: that the budget was spent, that there was no control."""
    return tuple(text for text in recorded.verdict.circumstances if text not in verdict.reasons)


def _with(result: CaseResult, verdict: Verdict, documents: tuple[Baseline, ...]) -> CaseResult:
    """With the new verdict, and what follows from it and from the documents."""
    decisive = result.confirmation if verdict.means is Means.FRESH_SESSION else result.measurement
    provenance = documents[-1].provenance if documents else {}
    if decisive is None or result.environment is None:
        return replace(result, verdict=verdict, suspicions=())
    suspected = suspicions(
        verdict,
        decisive,
        documents,
        provenance=result.environment.provenance,
        baseline_provenance=provenance,
        duet=result.duet if verdict.means is Means.DUET else None,
        terms=terms_of(result),
    )
    return replace(result, verdict=verdict, baseline_provenance=provenance, suspicions=suspected)


def _judged(result: CaseResult, report: SessionReport, root: Path, question: Question) -> tuple[Verdict, tuple[Baseline, ...]] | None:
    """The verdict, and the documents that it rests on. ``None`` where the file does not hold what would have to be judged."""
    expectation, terms = result.case.expectation, terms_of(result)
    if result.environment is None or result.measurement is None:
        return None
    if result.verdict.outcome is Outcome.INVALID and not flaws(result.measurement, expectation):
        return None  # invalid for a reason that the runs do not show, and so without their values
    key = binding_key(result.case, result.environment)
    try:
        found = documents_of(result, report, root, key=key, everything=question.all_baselines)
    except BaselineError as error:
        return invalid((str(error),), expectation), ()
    verdict = judge(result.measurement, found, expectation, key=key, terms=terms)
    if next_step(verdict).step is Step.ENOUGH:
        return verdict, found.documents
    if result.duet is not None:
        verdict = confirm_by_duet(verdict, result.duet, expectation, documents=found.documents, terms=terms, final=True)
    elif result.confirmation is not None:
        verdict = confirm(verdict, result.confirmation, found.documents, expectation, terms=terms)
    return verdict, found.documents


def documents_of(result: CaseResult, report: SessionReport, root: Path, *, key: Mapping[str, str], everything: bool) -> Found:
    """The documents that the case is compared with, unless ``everything``: those that the night named, or, where it named none of them,
    all from before the session. A document that was accepted later under an earlier stamp takes no part.

    :raises BaselineError: when one of them cannot be read.
    """
    entries = stored(root, suite=result.case.suite, case_id=result.case.case_id)
    if everything:
        return found_among(entries, key)
    known = result.verdict.compared_with
    if known is None:
        return found_among([entry for entry in entries if _earlier(entry.document, report)], key)
    return found_among([entry for entry in entries if entry.document.name in known], key)


def _earlier(document: Baseline, report: SessionReport) -> bool:
    return document.stamp <= report.stamp and (document.stamp, document.session_id) != (report.stamp, report.session_id)


# ---- against the recorded verdicts

_COMPARED = (
    "outcome",
    "baseline",
    "candidate",
    "delta",
    "interval",
    "limit",
    "mde",
    "p_value",
    "sessions",
    "pairs",
    "suspect",
    "underpowered",
)


def differences_of(recorded: CaseResult, now: CaseResult, *, outcomes_only: bool = False) -> tuple[Difference, ...]:
    """Where the verdicts of a case differ: outcome and means of the case, and of each cell the first of outcome and numbers that does.

    ``outcomes_only``: something else was promised, so limits are others too, and which cells are judged; outcomes alone say something.
    """
    case, before, after = recorded.case.name, recorded.verdict, now.verdict
    found = [
        Difference(case=case, cell=None, name=name, recorded=_text(ours), now=_text(theirs))
        for name, ours, theirs in (("outcome", before.outcome, after.outcome), ("means", before.means, after.means))
        if ours is not theirs
    ]
    found += _of_parity(case, recorded.parity, now.parity)
    cells, cells_now = ({cell.cell: cell for cell in verdict.cells} for verdict in (before, after))
    for cell in dict.fromkeys((*cells, *cells_now)):
        if not outcomes_only or (cell in cells and cell in cells_now):
            names = _COMPARED[:1] if outcomes_only else _COMPARED
            found += _of_cell(case, cell, cells.get(cell), cells_now.get(cell), names)
    return tuple(found)


def _of_parity(case: str, before: ArmParity | None, after: ArmParity | None) -> list[Difference]:
    """The first that differs of what the arms were found to differ in."""
    texts = [_parity_facts(parity) for parity in (before, after)]
    return [
        Difference(case=case, cell=None, name=f"parity {name}", recorded=_text(ours), now=_text(texts[1].get(name)))
        for name, ours in texts[0].items()
        if not _equal(ours, texts[1].get(name))
    ][:1]


def _parity_facts(parity: ArmParity | None) -> dict[str, object]:
    if parity is None:
        return {"outcome": None}
    facts: dict[str, object] = {"outcome": parity.outcome, "discordant items": parity.discordant_count}
    if parity.accuracy is not None:
        facts |= {name: getattr(parity.accuracy, name) for name in ("n", "losses", "gains", "loss", "upper_bound", "p_value", "n_needed")}
    if parity.texts is not None:
        facts |= {"texts": parity.texts.n, "texts that differ": parity.texts.differing}
    return facts


def _of_cell(case: str, cell: Cell, before: CellVerdict | None, after: CellVerdict | None, names: tuple[str, ...]) -> list[Difference]:
    if before is None or after is None:
        texts = ["not judged" if one is None else one.outcome.text for one in (before, after)]
        return [Difference(case=case, cell=cell, name="outcome", recorded=texts[0], now=texts[1])]
    for name in names:
        ours, theirs = getattr(before, name), getattr(after, name)
        if not _equal(ours, theirs):
            return [Difference(case=case, cell=cell, name=name, recorded=_text(ours), now=_text(theirs))]
    return []


def _equal(ours: object, theirs: object) -> bool:
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        return len(ours) == len(theirs) and all(map(_equal, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=_ALMOST, abs_tol=1e-12)
    return ours == theirs


def _text(value: object) -> str:
    if isinstance(value, Outcome):
        return value.text
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(getattr(value, "value", value))
