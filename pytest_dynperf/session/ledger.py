"""What came of the session's cases, in the process that writes: the controller under xdist, else the only one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.location import document_path
from pytest_dynperf.baseline.proposal import binding_key, propose
from pytest_dynperf.baseline.store import read, stored, write
from pytest_dynperf.deployment.inspection import commit_facts
from pytest_dynperf.errors import BaselineError, DynperfError
from pytest_dynperf.report.json_file import encode_session, to_text
from pytest_dynperf.run_directory import RunDirectory, point_latest, write_atomically
from pytest_dynperf.session.pages import write_pages
from pytest_dynperf.verdict.verdict import Means, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.session.plan import Settings

ACCEPTABLE = (Outcome.UNCHANGED, Outcome.IMPROVED, Outcome.INCOMPARABLE, Outcome.NO_BASELINE)

REGRESSED = ".regressed"
"""Folder below the proposals: those of regressed cases, which need a reason. A hidden one is no environment of a store, so that whoever
copies all proposals into one accepts no regression by it."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """``planned`` are the names of the collected cases, ``results`` what was reported, by name."""

    planned: set[str] = field(default_factory=set)
    results: dict[str, CaseResult] = field(default_factory=dict)
    interrupted: str | None = None

    def add(self, result: CaseResult) -> None:
        """A case that is judged twice in one invocation (a rerun plugin) keeps the worse verdict."""
        before = self.results.get(result.case.name)
        if before is None or result.verdict.outcome >= before.verdict.outcome:
            self.results[result.case.name] = result

    @property
    def missing(self) -> tuple[str, ...]:
        """Collected and not reported."""
        return tuple(sorted(self.planned - self.results.keys()))


def accept(report: SessionReport, settings: Settings) -> tuple[SessionReport, tuple[str, ...]]:
    """Write baselines as the options ask, and say in the report what was written and what was refused; after it, what went wrong with our
    own files, in words: the other cases are accepted all the same.

    Nothing of an incomplete session is accepted. In a dry run nothing is written and ``accepted`` names what would be.
    """
    if settings.update == "off":
        return report, ()
    if not report.complete:
        return replace(report, refused=("nothing: the session is incomplete",)), ()
    accepted: list[str] = []
    refused: list[str] = []
    trouble: list[str] = []
    for result in report.results:
        proposal = proposal_of(result, settings)
        if isinstance(proposal, str):
            refused.append(f"{result.case.name}: {proposal}")
            continue
        try:
            written = settings.update == "write"
            path = write(settings.baselines, proposal) if written else document_path(settings.baselines, proposal)
        except DynperfError as error:
            refused.append(f"{result.case.name}: {error}")
            trouble.append(f"the baseline of {result.case.name} was not written: {error}")
            continue
        accepted.append(str(path))
    return replace(report, accepted=tuple(accepted), refused=tuple(refused)), tuple(trouble)


_UNFIT = {
    Outcome.REGRESSED: "its answers are not those of its reference arm, and no baseline changes that",
    Outcome.INVALID: "whether its answers are those of its reference arm could not be judged",
    Outcome.INCONCLUSIVE: "whether its answers are those of its reference arm is not shown: measure again, with more items",
}
"""Parities with which nothing becomes a baseline: it would be the measure of wrong answers ever after."""


def refusal(result: CaseResult, accept_regression: str | None) -> str | None:
    """Why ``result`` must not become a baseline, or ``None``: the one table of it."""
    outcome = result.verdict.outcome
    if result.measurement is None or result.environment is None or outcome is Outcome.INVALID:
        return f"{outcome.text}, never a baseline"
    if (why := result.environment.refused_as_baseline) is not None:
        return why
    if result.verdict.parity is not None and (why := _UNFIT.get(result.verdict.parity)) is not None:
        return why
    if outcome is Outcome.REGRESSED:
        return None if accept_regression is not None else 'regressed: accept it with --accept-regression "reason"'
    if outcome not in ACCEPTABLE:
        return f"{outcome.text}: measure again"
    # Beside a cell that has no baseline yet, an undecided suspect is not the outcome of the case.
    undecided = [cell.cell for cell in result.verdict.cells if cell.decisive and cell.outcome is Outcome.INCONCLUSIVE]
    return f"{undecided[0]} is inconclusive: measure again" if undecided else None


def proposal_of(result: CaseResult, settings: Settings) -> Baseline | str:
    """The document that ``result`` would become, or why it must not become one."""
    if (why := refusal(result, settings.accept_regression)) is not None:
        return why
    return _document(result, settings, settings.accept_regression)


def _document(result: CaseResult, settings: Settings, accept_regression: str | None) -> Baseline | str:
    assert result.environment is not None
    key = binding_key(result.case, result.environment)
    try:
        epoch, reason = _epoch(result, key, settings.baselines, accept_regression)
        return propose(
            _accepted(result),
            case=result.case,
            environment=result.environment,
            key=key,
            session_id=settings.session_id,
            stamp=settings.stamp,
            epoch=epoch,
            reason=reason,
            meanings=result.meanings,
        )
    except BaselineError as error:
        return str(error)


def _accepted(result: CaseResult) -> Measurement:
    """What stands for the case from now on: the fresh session where there was one. The first was picked for being far off."""
    fresh = result.confirmation if result.verdict.means is Means.FRESH_SESSION else None
    measurement = fresh or result.measurement
    assert measurement is not None
    return measurement


def _epoch(result: CaseResult, key: Mapping[str, str], baselines: Path, accept_regression: str | None) -> tuple[int, str | None]:
    """Epoch and reason that hold for the case from now on.

    :raises BaselineError: when a document of the case cannot be read: whatever epoch was chosen could be the wrong one.
    """
    documents = read(baselines, suite=result.case.suite, case_id=result.case.case_id, key=key).documents
    epoch, reason = (documents[-1].epoch, documents[-1].reason) if documents else (0, None)
    return (epoch + 1, accept_regression) if result.verdict.outcome is Outcome.REGRESSED else (epoch, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """``accepted`` maps case names to paths of documents, ``refused`` to why there is none."""

    accepted: Mapping[str, Path]
    refused: Mapping[str, str]


def accept_session(
    report: SessionReport,
    session: Path,
    baselines: Path,
    *,
    case_pattern: str = "*",
    accept_regression: str | None = None,
    dry_run: bool = False,
) -> Acceptance:
    """Accept what lies in the ``proposals`` of a finished session, by the rules of ``--update-baselines``; ``session`` is its directory.
    What cannot be read or written keeps its own case out, and no other.
    """
    run = RunDirectory(session)
    accepted: dict[str, Path] = {}
    refused: dict[str, str] = {}
    in_repository = bool(commit_facts(next(path for path in (baselines, *baselines.absolute().parents) if path.is_dir())))
    for result in report.results:
        name = result.case.name
        if not fnmatchcase(name, case_pattern):
            continue
        if not report.complete:
            refused[name] = "the session is incomplete"
            continue
        try:
            document = _to_accept(result, run, baselines, accept_regression, in_repository=in_repository)
            if isinstance(document, str):
                refused[name] = document
            else:
                accepted[name] = document_path(baselines, document) if dry_run else write(baselines, document)
        except DynperfError as error:
            refused[name] = str(error)
    return Acceptance(accepted=accepted, refused=refused)


def _to_accept(
    result: CaseResult, run: RunDirectory, baselines: Path, accept_regression: str | None, *, in_repository: bool
) -> Baseline | str:
    """The document that the proposal becomes, or why it must not.

    :raises BaselineError: when the proposal, or a document of the case, cannot be read.
    """
    if (why := refusal(result, accept_regression)) is not None:
        return why
    found = _proposal(run, result)
    if found is None:
        return f"{run.proposals} holds no proposal of it"
    if found.provenance.get("git.dirty") == "yes" and in_repository:
        return "the tree was dirty when it was measured, so a baseline could not say what it measured: commit first"
    epoch, reason = _epoch(result, found.key, baselines, accept_regression)
    if epoch > found.epoch and result.verdict.outcome is not Outcome.REGRESSED:
        return "a regression was accepted since, and it was held against what was before: measure again"
    document = replace(found, epoch=epoch, reason=reason)
    path = document_path(baselines, document)
    return f"{path} is there already: this session was accepted before" if path.exists() else document


def as_update(report: SessionReport, done: Acceptance) -> SessionReport:
    """``report`` with what became of the cases that were asked for, as an update says it."""
    results = tuple(result for result in report.results if result.case.name in {**done.accepted, **done.refused})
    refused = tuple(f"{name}: {why}" for name, why in done.refused.items())
    return replace(report, results=results, accepted=tuple(map(str, done.accepted.values())), refused=refused)


def _proposal(run: RunDirectory, result: CaseResult) -> Baseline | None:
    root = run.proposals / REGRESSED if result.verdict.outcome is Outcome.REGRESSED else run.proposals
    found = stored(root, suite=result.case.suite, case_id=result.case.case_id)
    return found[-1].document if found else None


def write_reports(report: SessionReport, settings: Settings) -> None:
    """``session.json``, the pages that are made from it, the proposals, and ``latest``.

    :raises RunDirectoryError: when the directory cannot be written.
    """
    run = RunDirectory(settings.run_directory)
    write_atomically(run.session_json, to_text(encode_session(report)))
    write_pages(report, run)
    for result in report.results:
        regressed = result.verdict.outcome is Outcome.REGRESSED
        if refusal(result, "") is None:
            proposal = _document(result, settings, settings.accept_regression)
            if not isinstance(proposal, str):
                write(run.proposals / REGRESSED if regressed else run.proposals, proposal)
    point_latest(run)
