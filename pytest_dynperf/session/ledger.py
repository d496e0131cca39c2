"""What came of the session's cases, in the process that writes: the controller under xdist, else the only one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.location import document_path
from pytest_dynperf.baseline.proposal import binding_key, propose
from pytest_dynperf.baseline.store import read, write
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.report.html_page import render
from pytest_dynperf.report.json_file import encode_session, to_text
from pytest_dynperf.run_directory import RunDirectory, point_latest, write_atomically
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.session.plan import Settings

ACCEPTABLE = (Outcome.UNCHANGED, Outcome.IMPROVED, Outcome.INCOMPARABLE, Outcome.NO_BASELINE)


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


def accept(report: SessionReport, settings: Settings) -> SessionReport:
    """Write baselines as the options ask, and say in the report what was written and what was refused.

    Nothing of an incomplete session is accepted. In a dry run nothing is written and ``accepted`` names what would be.
    """
    if settings.update == "off":
        return report
    if not report.complete:
        return replace(report, refused=("nothing: the session is incomplete",))
    accepted: list[str] = []
    refused: list[str] = []
    for result in report.results:
        proposal = proposal_of(result, settings)
        if isinstance(proposal, str):
            refused.append(f"{result.case.name}: {proposal}")
            continue
        path = document_path(settings.baselines, proposal)
        if settings.update == "write":
            write(settings.baselines, proposal)
        accepted.append(str(path))
    return replace(report, accepted=tuple(accepted), refused=tuple(refused))


def proposal_of(result: CaseResult, settings: Settings) -> Baseline | str:
    """The document that ``result`` would become, or why it must not become one."""
    outcome = result.verdict.outcome
    if result.measurement is None or result.environment is None or outcome is Outcome.INVALID:
        return f"{outcome.text}, never a baseline"
    if not result.environment.may_be_baseline:
        return "the endpoint's environment is unknown: name it with --dynperf-environment"
    regressed = outcome is Outcome.REGRESSED
    if regressed and settings.accept_regression is None:
        return 'regressed: accept it with --accept-regression "reason"'
    if outcome not in ACCEPTABLE and not regressed:
        return f"{outcome.text}: measure again"
    epoch, reason = _epoch(result, settings)
    return propose(
        result.measurement,
        case=result.case,
        environment=result.environment,
        key=binding_key(result.case, result.environment),
        session_id=settings.session_id,
        stamp=settings.stamp,
        epoch=epoch + regressed,
        reason=settings.accept_regression if regressed else reason,
    )


def _epoch(result: CaseResult, settings: Settings) -> tuple[int, str | None]:
    """Epoch and reason that hold for the case until now."""
    assert result.environment is not None
    try:
        found = read(
            settings.baselines, suite=result.case.suite, case_id=result.case.case_id, key=binding_key(result.case, result.environment)
        )
    except BaselineError:
        return 0, None
    newest = found.documents[-1] if found.documents else None
    return (newest.epoch, newest.reason) if newest else (0, None)


def write_reports(report: SessionReport, settings: Settings) -> None:
    """``session.json``, ``report.html``, the proposals, and ``latest``.

    :raises RunDirectoryError: when the directory cannot be written.
    """
    run = RunDirectory(settings.run_directory)
    write_atomically(run.session_json, to_text(encode_session(report)))
    write_atomically(run.report_html, render(report))
    for result in report.results:
        proposal = proposal_of(result, settings)
        if not isinstance(proposal, str):
            write(run.proposals, proposal)
    point_latest(run)
