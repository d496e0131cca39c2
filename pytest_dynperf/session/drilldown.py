"""What the page draws of a session, read from its run directory and its baselines. A file that is missing or broken costs its drawing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.store import stored
from pytest_dynperf.errors import DynperfError
from pytest_dynperf.observation.record_file import read_records, records_at, run_of
from pytest_dynperf.observation.run_columns import RunColumns, read_columns, request_columns
from pytest_dynperf.report.drilldown import CaseDrilldown, Drilldown
from pytest_dynperf.run_directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.measurement.measurement import Distribution, Run
    from pytest_dynperf.report.session_report import CaseResult, SessionReport


def read_drilldown(report: SessionReport, run_directory: Path, baselines: Path | None = None, *, page: Path | None = None) -> Drilldown:
    """Of every case of ``report``: the course of its runs, from ``series/``, else from its request records; and the distributions of the
    newest document in ``baselines`` (the report's own directory where ``None``) that it was compared with. ``page`` is the directory of the
    page that will link to the files, ``run_directory`` where ``None``.

    Takes about 1 µs a request that is read from ``series/``, 30 µs from records.
    """
    root = RunDirectory(run_directory)
    store = Path(report.baseline_directory) if baselines is None else baselines
    return Drilldown(cases={result.case.name: _of_case(result, root, store, page or run_directory) for result in report.results})


def _of_case(result: CaseResult, root: RunDirectory, store: Path, page: Path) -> CaseDrilldown:
    name, baseline = _baseline(result, store)
    runs, files = [], []
    for run in _runs(result):
        found = _columns(result, run, root)
        if found is not None:
            runs.append(found[0])
            files.append(os.path.relpath(found[1], page))
    return CaseDrilldown(runs=tuple(runs), files=tuple(files), baseline=baseline, baseline_name=name)


def _runs(result: CaseResult) -> Iterator[Run]:
    """The runs of the case, repeated and invalid ones too, and those of a fresh session; of pairs there are too many to draw."""
    for measurement in (result.measurement, result.confirmation):
        if measurement is not None:
            yield from (*measurement.runs, *measurement.discarded)


def _columns(result: CaseResult, run: Run, root: RunDirectory) -> tuple[RunColumns, Path] | None:
    path = root.columns(result.case.suite, result.case.case_id, run.name)
    try:
        if path.is_file():
            return read_columns(path), path
        records = _records_of(result, run, root)
        return None if records is None else (_from_records(run, records), records)
    except DynperfError:
        return None


def _records_of(result: CaseResult, run: Run, root: RunDirectory) -> Path | None:
    named = (records_at(root.root / record) for record in result.records if run_of(record) == run.name)
    return next((path for path in named if path.is_file()), None)


def _from_records(run: Run, path: Path) -> RunColumns:
    records = tuple(read_records(path))
    begun = [record.sent_ns for record in records if record.measured and record.sent_ns is not None]
    return RunColumns(run=run.name, duration_s=run.duration_s, requests=request_columns(records, min(begun, default=0)), series=())


def _baseline(result: CaseResult, store: Path) -> tuple[str, dict[str, tuple[Distribution, ...]]]:
    compared = set(result.verdict.compared_with or ())
    if not compared:
        return "", {}
    try:
        documents = [one.document for one in stored(store, suite=result.case.suite, case_id=result.case.case_id)]
    except (DynperfError, OSError):
        return "", {}
    newest = next((document for document in reversed(documents) if document.name in compared), None)
    if newest is None:
        return "", {}
    found: dict[str, tuple[Distribution, ...]] = {}
    for run in newest.runs:
        for metric, distribution in run.distributions.items():
            found[metric] = (*found.get(metric, ()), distribution)
    return newest.name, found
