"""How every session ends, with pytest and without: what may be accepted is, reports are written, and the outcomes say what failed."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DynperfError
from pytest_dynperf.verdict.open_suspect import open_suspects
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.session.plan import Settings
    from pytest_dynperf.verdict.verdict import Verdict


def close(report: SessionReport, settings: Settings) -> tuple[SessionReport, tuple[str, ...]]:
    """Say what is to be said over all cells together, and write baselines and reports as the settings ask. The report as it was written,
    and what went wrong with our own files, in words: a session whose files could not be written still has its verdicts.
    """
    # Templates and numbers: not for whoever only asks for a version.
    from pytest_dynperf.session.ledger import accept, write_reports
    from pytest_dynperf.session.redaction import without_secrets
    from pytest_dynperf.session.unfinished import write_finished
    from pytest_dynperf.verdict.annotate import annotate

    report = replace(report, annotations=annotate([(result.case.name, result.verdict) for result in report.results]))
    report = without_secrets(report, settings)
    trouble: list[str] = []
    try:
        if settings.update == "write" and report.complete:
            write_finished(report, settings)
        report, unwritten = accept(report, settings)
        trouble += unwritten
    except DynperfError as error:
        trouble.append(f"baselines were not updated: {error}")
    try:
        write_reports(report, settings)
    except Exception as error:  # noqa: BLE001 - whatever a page stumbles over, the verdicts must still be said
        defect = "" if isinstance(error, DynperfError) else f"{type(error).__name__}, which is a defect, please report it: "
        trouble.append(f"the report was not written: {defect}{error}")
    return report, without_secrets(tuple(trouble), settings)


def versions(results: Iterable[CaseResult]) -> dict[str, str]:
    """What ran: our own side, and every ``*.version`` that an environment learned of itself."""
    found = own_versions() | {"python": platform.python_version()}
    for result in results:
        if result.environment is not None:
            found |= {
                name.removesuffix(".version"): text for name, text in result.environment.provenance.items() if name.endswith(".version")
            }
    return found


def own_versions() -> dict[str, str]:
    """The version of this package."""
    return {"pytest-dynperf": metadata.version("pytest-dynperf")}


def fails(verdict: Verdict, *, strict: bool, open_suspect: bool = False) -> bool:
    """Which verdicts fail: the one table of it. A regression and what must not be judged are red; what is unknown is a line, unless it was
    asked to fail: ``strict`` a case without a baseline, ``open_suspect`` one with a suspect beyond its tolerance that nothing decided.

    A regression that a waiver covers does not fail. A waiver that has expired fails its case whatever the outcome: somebody promised
    something for that day.
    """
    if verdict.expired or (open_suspect and open_suspects(verdict)):
        return True
    return {
        Outcome.UNCHANGED: False,
        Outcome.IMPROVED: False,
        Outcome.INCONCLUSIVE: False,
        Outcome.INCOMPARABLE: False,
        Outcome.NO_BASELINE: strict,
        Outcome.INVALID: True,
        Outcome.REGRESSED: verdict.waiver is None,
    }[verdict.outcome]


def red(report: SessionReport, *, strict: bool, open_suspect: bool = False) -> bool:
    """Whether anything in the report fails: a case, or that the session is incomplete."""
    return not report.complete or any(fails(result.verdict, strict=strict, open_suspect=open_suspect) for result in report.results)
