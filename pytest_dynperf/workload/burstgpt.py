"""BurstGPT's table of requests → entries of a trace.

In: the CSV of BurstGPT (``Timestamp``, in seconds; ``Model``; ``Request tokens``; ``Response tokens``; ``Log Type``; others are ignored).
Out: entries and what was left out. The table knows nothing of texts, so **reuse of the KV cache is not modelled**: block hashes are random.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.errors import WorkloadError, nearest
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.trace import TraceEntry, blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MODELS = ("ChatGPT", "GPT-4")
LOG_TYPES = ("Conversation log", "API log")
_COLUMNS = ("Timestamp", "Model", "Request tokens", "Response tokens", "Log Type")
_LARGEST = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which rows are taken, in this order: those of ``model``, of ``log_type`` (``None``: all), those that did not fail, without the first
    ``skip``, of these the first ``head`` (``None``: all).

    A row with 0 request tokens is no request; one with 0 response tokens failed, and is taken with ``keep_failed`` alone, with an OSL of 0.
    """

    model: str | None = None
    log_type: str | None = None
    keep_failed: bool = False
    skip: int = 0
    head: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """``entries`` with times from 0. ``rows`` of the table, as far as it was read; ``other``: of another model or log; ``failed``: without
    response tokens, left out unless they were to be kept; ``empty``: without request tokens, left out.
    """

    entries: tuple[TraceEntry, ...]
    rows: int
    other: int
    failed: int
    empty: int


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    at_s: float
    isl: int
    osl: int


def convert(path: Path, selection: Selection, *, speed: float = 1.0, block_size: int, hash_blocks: int, seed: int) -> Converted:
    """Entries of the selected rows; times are divided by ``speed``, and then the first is 0. Each block has a random hash from 0 to
    ``hash_blocks``; with 0 ``hash_blocks`` each has a hash of its own, so nothing is shared. ``line`` is the row's.

    :raises WorkloadError: when the table cannot be read, a column is missing, a value is wrong, times run backwards, or no row is left;
        names file, line and column.
    """
    counts = {"rows": 0, "other": 0, "failed": 0, "empty": 0}
    try:
        rows = list(islice(_selected(path, selection, counts), selection.head))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {(isinstance(error, OSError) and error.strerror) or error}"
        raise WorkloadError(msg) from error
    if not rows:
        left_out = ", ".join(f"{counts[name]} {name}" for name in ("other", "failed", "empty"))
        msg = (
            f"{path}: none of {counts['rows']} rows is left ({left_out}; {selection.skip} to be skipped). "
            f"Choose another model or log, or skip fewer."
        )
        raise WorkloadError(msg)
    _check_order(path, rows)
    rng = np.random.default_rng(stream_seed(seed, "burstgpt"))
    fresh = 0
    entries = []
    for row in rows:
        count = blocks_of(row.isl, block_size)
        ids = np.floor(rng.random(count) * (hash_blocks + 1)).astype(np.int64).tolist() if hash_blocks else range(fresh, fresh + count)
        fresh += count
        at_s = (row.at_s - rows[0].at_s) / speed
        entries.append(TraceEntry(line=row.line, at_s=at_s, isl=row.isl, osl=row.osl, hash_ids=tuple(ids)))
    return Converted(entries=tuple(entries), **counts)


def _selected(path: Path, selection: Selection, counts: dict[str, int]) -> Iterator[_Row]:
    taken = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = _rows(path, file)
        columns = _columns(path, next(rows, (1, []))[1])
        for line, cells in rows:
            counts["rows"] += 1
            values = _Cells(path, line, columns, cells)
            if selection.model not in {None, values.text("Model")} or selection.log_type not in {None, values.text("Log Type")}:
                counts["other"] += 1
                continue
            row = _Row(line, values.number("Timestamp"), values.tokens("Request tokens"), values.tokens("Response tokens"))
            counts["empty"] += not row.isl
            counts["failed"] += not row.osl
            if not row.isl or not (row.osl or selection.keep_failed):
                continue
            taken += 1
            if taken > selection.skip:
                yield row


def _rows(path: Path, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(file)
    try:
        yield from ((reader.line_num, cells) for cells in reader if cells)
    except csv.Error as error:
        msg = f"{path}:{reader.line_num}: not a row of a CSV file: {error}"
        raise WorkloadError(msg) from error


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    names = [name.strip() for name in header]
    for wanted in _COLUMNS:
        if wanted not in names:
            hint = nearest(wanted, set(names) - set(_COLUMNS)) or f"; there are {', '.join(names) or 'none'}"
            msg = f"{path}:1: column {wanted!r} is missing{hint}. The first line names the columns."
            raise WorkloadError(msg)
    return {name: names.index(name) for name in _COLUMNS}


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of one row, each checked as it is asked for; errors name file, line and column."""

    path: Path
    line: int
    columns: dict[str, int]
    cells: list[str]

    def text(self, column: str) -> str:
        place = self.columns[column]
        if place >= len(self.cells):
            msg = f"{self.path}:{self.line}: column {column!r} is missing: the row has {len(self.cells)} cells. Was the file cut off?"
            raise WorkloadError(msg)
        return self.cells[place].strip()

    def number(self, column: str) -> float:
        text = self.text(column)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= _LARGEST:
            msg = f"{self.path}:{self.line}: {column}: {text!r} found, expected a number from 0 to 10^9"
            raise WorkloadError(msg)
        return value

    def tokens(self, column: str) -> int:
        value = self.number(column)
        if value != int(value):
            msg = f"{self.path}:{self.line}: {column}: {self.text(column)!r} found, expected a whole number of tokens"
            raise WorkloadError(msg)
        return int(value)


def _check_order(path: Path, rows: list[_Row]) -> None:
    for before, row in pairwise(rows):
        if row.at_s < before.at_s:
            msg = f"{path}:{row.line}: Timestamp {row.at_s:g} is before that of line {before.line}, {before.at_s:g}. Sort the table first."
            raise WorkloadError(msg)
