"""Files of other tools: which of them are runs, and what each holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError
from pytest_dynperf.measurement import foreign_aiperf, foreign_vllm
from pytest_dynperf.measurement.foreign import traffic_of
from pytest_dynperf.measurement.foreign_aiperf_records import read_records
from pytest_dynperf.measurement.foreign_table import Table, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_dynperf.measurement.foreign import ForeignRun

SUMMARY, RECORDS = "profile_export_aiperf.json", "profile_export.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the person says of the runs; it outweighs the files. ``None`` leaves it to them."""

    isl: int | None = None
    osl: int | None = None
    concurrency: int | None = None


def found_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files of runs that ``paths`` name, each once, in the order given; a directory stands for what lies below it, sorted by name.

    :raises UsageError: for a path that is not there, and for a directory without a run.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            below = _runs_below(path)
            if not below:
                msg = f"{path}: no run below it. Looked for: {SUMMARY} (AIPerf), JSON of vllm bench serve --save-result."
                raise UsageError(msg)
        elif path.name == RECORDS and path.with_name(SUMMARY).exists():
            below = [path.with_name(SUMMARY)]
        elif path.exists():
            below = [path]
        else:
            msg = f"{path}: no such file or directory"
            raise UsageError(msg)
        for file in below:
            found.setdefault(file.resolve(), file)
    return tuple(found.values())


def _runs_below(directory: Path) -> list[Path]:
    """AIPerf's summaries, without those of the phases of a run that has one of its own; else what vLLM wrote."""
    summaries = sorted(directory.rglob(SUMMARY))
    if summaries:
        homes = {file.parent for file in summaries}
        return [file for file in summaries if not homes.intersection(file.parent.parents)]
    return sorted(file for file in directory.rglob("*.json") if any(foreign_vllm.looks_like(table) for table in _lenient(file)))


def _lenient(file: Path) -> Iterator[Table]:
    """Nothing of a file that holds something else."""
    try:
        yield from _tables(file)
    except UsageError:
        return


def _tables(file: Path) -> list[Table]:
    """The JSON objects of a file: one, or one a line (``vllm bench serve --append-result``).

    :raises UsageError: when it cannot be read or holds something else.
    """
    text = _text(file)
    try:
        return [parse(text, file=str(file))]
    except UsageError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.startswith("{") and line.rstrip().endswith("}") for line in lines):
            raise
        return [parse(line, file=f"{file}:{number}") for number, line in enumerate(lines, start=1)]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read {file}: {error}"
        raise UsageError(msg) from error


def read_runs(file: Path, known: Known) -> list[ForeignRun]:
    """The runs of one file: one of AIPerf, one or more of vLLM.

    :raises UsageError: for a file of neither, and for what in it cannot be read; names file, key and line.
    """
    runs = []
    for table in _tables(file):
        if foreign_aiperf.looks_like(table):
            runs.append(_aiperf_run(file, table, known))
        elif foreign_vllm.looks_like(table):
            runs.append(_with(foreign_vllm.read_result(table), known))
        else:
            shown = ", ".join(list(table.data)[:6]) or "nothing"
            msg = f"{table.file}: neither of AIPerf ({SUMMARY}) nor of vllm bench serve --save-result; its keys are {shown}, …"
            raise UsageError(msg)
    return runs


def _aiperf_run(file: Path, table: Table, known: Known) -> ForeignRun:
    summary = _with(foreign_aiperf.read_summary(table), known)
    records_file = file.with_name(RECORDS) if file.name == SUMMARY else file.with_suffix(".jsonl")
    if not records_file.exists():
        return summary
    traffic = traffic_of(summary.asked, file=str(file), runs=1)
    records, unfounded = read_records(_text(records_file).splitlines(), file=str(records_file), run="imported", traffic=traffic)
    return foreign_aiperf.with_records(summary, records, records_file=str(records_file), unfounded=unfounded)


def _with(run: ForeignRun, known: Known) -> ForeignRun:
    said = {name: value for name in ("isl", "osl", "concurrency") if (value := getattr(known, name)) is not None}
    return replace(run, asked=replace(run.asked, **said)) if said else run
