"""Runs of a session, written as another tool's files: from the records that the session kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.observation.record_file import read_records, records_at, run_of
from pytest_dynperf.observation.recording import Recording
from pytest_dynperf.report.aiperf_files import Origin, export
from pytest_dynperf.report.json_file import decode_session
from pytest_dynperf.run_directory import RunDirectory, safe_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.report.session_report import CaseResult, SessionReport

NO_URL = "http://endpoint-not-recorded"


def export_session(source: Path, output: Path, *, told: Callable[[str], None] = lambda _: None) -> tuple[Path, ...]:
    """Write every run of the session in the directory ``source`` (or the one run whose record file ``source`` is) below
    ``output/<suite>/<case id>/<run>/``; returns these directories. ``told`` hears which run is read.

    The wall clock of a run is not recorded: times are shifted so that the first send of the session is at its stamp.

    :raises UsageError: when there is no session, it cannot be read, or kept no records of requests.
    """
    directory, wanted = (source, None) if source.is_dir() else (_session_of(source), source.resolve())
    report = _read(RunDirectory(directory).session_json)
    runs = [(result, run, path) for result in report.results for run, path in _runs(result, directory) if wanted in (None, path.resolve())]
    if not runs:
        msg = f"{source}: the session holds no records of requests, so there is nothing to export"
        raise UsageError(msg)
    recordings = []
    for result, run, path in runs:
        told(f"{result.case.name} {run.name}")
        recordings.append(_recording(result, run, path))
    start_ns = min(recording.window_start_ns for recording in recordings)
    epoch_ns = _stamp_ns(report.stamp) - start_ns
    homes: list[Path] = []
    for (result, run, _path), recording in zip(runs, recordings, strict=True):
        homes += export(
            [recording],
            traffic=result.case.traffic,
            facts=RunFacts(gpu_count=None, objectives=result.case.expectation.objectives),
            origin=_origin(result, epoch_ns),
            directory=output / safe_name(result.case.suite) / safe_name(result.case.case_id),
            problems=[run.problems],
        )
    return tuple(homes)


def _session_of(records: Path) -> Path:
    """The run directory that a record file lies in: ``records/<suite>/<case id>/<run>.jsonl.gz`` below it."""
    parents = records.resolve().parents
    if not records.exists() or len(parents) < 4 or not RunDirectory(parents[3]).session_json.exists():
        msg = f"{records}: not a record file of a session: expected is SESSION/records/SUITE/CASE/RUN.jsonl.gz with SESSION/session.json"
        raise UsageError(msg)
    return parents[3]


def _read(path: Path) -> SessionReport:
    try:
        encoded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"cannot read {path}: {error}. Give the directory of a session, such as reports/latest."
        raise UsageError(msg) from error
    return decode_session(encoded)


def _runs(result: CaseResult, directory: Path) -> Iterator[tuple[Run, Path]]:
    """Each run whose records are there, with their file."""
    measurements = [one for one in (result.measurement, result.confirmation) if one is not None]
    by_name = {safe_name(run.name): run for one in measurements for run in (*one.runs, *one.discarded)}
    for relative in result.records:
        path, run = records_at(directory / relative), run_of(relative)
        if run in by_name and path.exists():
            yield by_name[run], path


def _recording(result: CaseResult, run: Run, path: Path) -> Recording:
    """The window has the length that the session states, and begins with the first measured send."""
    records = tuple(sorted(read_records(path), key=lambda record: record.index))
    start_ns = min((record.sent_ns for record in records if record.measured and record.sent_ns is not None), default=0)
    return Recording(
        run=run.name,
        records=records,
        window_start_ns=start_ns,
        window_end_ns=start_ns + round(run.duration_s * 1e9),
        concurrency=result.case.traffic.concurrency,
        certificate=run.certificate,
    )


def _stamp_ns(stamp: str) -> int:
    return int(datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def _origin(result: CaseResult, epoch_ns: int) -> Origin:
    """Our own load generator made the runs, unless they were imported."""
    key = result.environment.key if result.environment is not None else {}
    provenance = result.environment.provenance if result.environment is not None else {}
    url = provenance.get("endpoint", "")
    return Origin(
        model=key.get("model") or result.case.topology.model,
        url=url if url.startswith(("http://", "https://")) else NO_URL,
        generator=key.get("load_generator", "pytest-dynperf"),
        generator_version=provenance.get("load_generator.version") or metadata.version("pytest-dynperf"),
        epoch_ns=epoch_ns,
    )
