"""Arms judged by the request records of their runs: in the session that made them, and again from its files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError
from pytest_dynperf.metrics.accuracy import graded
from pytest_dynperf.observation.record_file import read_records, records_at, run_of
from pytest_dynperf.verdict.arm_parity import ArmParity, Reply, compare_arms, with_parity
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.verdict.verdict import Verdict

_RUN = "run-"


def parity_of(case: Case, files: Mapping[str, Sequence[str]], root: Path, *, name: str | None = None) -> ArmParity:
    """What the records in ``files`` (relative to ``root``, by ``reference``, ``candidate``, ``noise``) say. Never raises for a file: one
    that cannot be read makes the parity *invalid*. ``name``: the case id of the reference, where the case does not know it. Costs about
    30 µs a record.
    """
    name = name or (case.reference.case_id if case.reference is not None else str(case.expectation.parity.reference))
    records = {role: tuple(paths) for role, paths in files.items()}
    try:
        arms = {role: list(_replies(root, paths)) for role, paths in records.items()}
    except UsageError as error:
        return ArmParity(reference=name, outcome=Outcome.INVALID, reasons=(str(error),), records=records)
    found = compare_arms(
        arms.get("reference", []), arms.get("candidate", []), case.expectation.parity, name=name, noise=arms.get("noise", ())
    )
    return replace(found, records=records)


def rejudged_parity(result: CaseResult, verdict: Verdict, root: Path) -> tuple[Verdict, ArmParity | None, str | None]:
    """``verdict`` with the parity that the records of the session in ``root`` give now; where they are gone, with that of the night, and a
    note that says so.
    """
    recorded = result.parity
    if recorded is None or verdict.outcome is Outcome.INVALID:
        return verdict, recorded, None
    missing = [path for paths in recorded.records.values() for path in paths if not records_at(root / path).is_file()]
    if missing or not recorded.records:
        gone = f"{missing[0]} is not in {root}" if missing else "no files were recorded"
        return with_parity(verdict, recorded), recorded, f"{result.case.name}: its recorded parity stands: {gone}"
    now = parity_of(result.case, recorded.records, root, name=recorded.reference)
    return with_parity(verdict, now), now, None


def _replies(root: Path, paths: Sequence[str]) -> Iterator[Reply]:
    for path in paths:
        run = run_of(path)
        run = run[run.rindex(_RUN) :] if _RUN in run else run  # for-warm-run-1 asked what run-1 asks
        for record in read_records(root / path):
            if record.measured:
                yield Reply(
                    run=run,
                    index=record.index,
                    text=None if record.error is not None else record.answer,
                    item=record.item,
                    subject=record.subject or "",
                    correct=None if record.item is None or record.error is not None else graded(record),
                )
