"""Traces of requests: JSON lines in the format of Mooncake, which Dynamo's tools and AIPerf read and write.

In: a file. Out: :class:`TraceEntry` values, one per line. Each line has ``timestamp`` (ms since the first request), ``input_length``,
``output_length`` (tokens) and ``hash_ids``, one integer for each block of ``input_length`` tokens, the last one perhaps not full; equal
leading integers are a shared prefix. Lines of one ``session_id`` are turns of a conversation; ``delay`` (ms) is the time between the answer
to the turn before and this one. Other keys are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.errors import WorkloadError, nearest
from pytest_dynperf.run_directory import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_KEYS = frozenset({"timestamp", "input_length", "output_length", "hash_ids", "session_id", "delay"})
_LARGEST = 10**9
"""Tokens, or ms (11 days): what is beyond is not what the key says."""
_LARGEST_ID = 2**64
_LONGEST_LINE = 2**26
"""Bytes. A file without line ends must not be read into memory as one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEntry:
    """One line of a trace.

    ``at_s``: seconds on the trace's clock; ``None`` where the line has none (a later turn, or a trace without times). ``isl`` and ``osl``
    are tokens. ``hash_ids``: ceil(isl / block size) of them. ``delay_s`` is ``None`` where the line has none.
    """

    line: int
    at_s: float | None
    isl: int
    osl: int
    hash_ids: tuple[int, ...]
    session_id: str | None = None
    delay_s: float | None = None


def blocks_of(isl: int, block_size: int) -> int:
    """Blocks that ``isl`` tokens begin: ceil(isl / block_size)."""
    return -(-isl // block_size)


def read_trace(path: Path, *, block_size: int, sort: bool = False) -> tuple[TraceEntry, ...]:
    """The entries of ``path`` in the order of its lines; with ``sort`` in that of their times (a later turn without a time stays behind
    the one before it). Reads line by line; equal block ids are one object in memory.

    :raises WorkloadError: when the file cannot be read or has no line, and at the first line that is wrong: names file, line and key. A
        blank line between others, and a time before that of an earlier line (without ``sort``), are wrong too.
    """
    try:
        entries = tuple(_entries(path, block_size))
    except OSError as error:
        what = "is a directory: give one file of JSON lines" if path.is_dir() else f"cannot be read: {error.strerror or error}"
        msg = f"{path} {what}"
        raise WorkloadError(msg) from error
    if not entries:
        msg = f"{path} is empty: a trace has at least one line"
        raise WorkloadError(msg)
    _check_times(path, entries)
    if sort:
        return _sorted(entries)
    _check_order(path, entries)
    return entries


def write_trace(path: Path, entries: Iterable[TraceEntry]) -> None:
    """Write ``entries`` atomically; :func:`read_trace` gives them back (``line`` apart), times to a thousandth of a millisecond.

    :raises RunDirectoryError: when the file cannot be written.
    """
    write_atomically(path, b"".join(_encode(entry) for entry in entries))


def _encode(entry: TraceEntry) -> bytes:
    values: dict[str, object] = {}
    if entry.session_id is not None:
        values["session_id"] = entry.session_id
    if entry.at_s is not None:
        values["timestamp"] = _milliseconds(entry.at_s)
    if entry.delay_s is not None:
        values["delay"] = _milliseconds(entry.delay_s)
    values |= {"input_length": entry.isl, "output_length": entry.osl, "hash_ids": entry.hash_ids}
    return msgspec.json.encode(values) + b"\n"


def _milliseconds(seconds: float) -> float:
    """A whole number as int: readers of the format expect one."""
    value = round(seconds * 1e3, 3)
    return int(value) if value == int(value) else value


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and text of each line, trailing blank ones left out.

    :raises WorkloadError: at a blank line between others, and at a line beyond all measure.
    """
    blank = None
    number = 0
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if len(line) == _LONGEST_LINE:
                msg = f"{path}:{number}: longer than {_LONGEST_LINE} bytes. A trace has one JSON object per line."
                raise WorkloadError(msg)
            if not line.strip():
                blank = blank or number
            elif blank:
                msg = f"{path}:{blank}: blank, and line {number} is not: the file has a hole. Remove the line, or restore what stood there."
                raise WorkloadError(msg)
            else:
                yield number, line


def _entries(path: Path, block_size: int) -> Iterator[TraceEntry]:
    known: dict[int, int] = {}
    for number, line in _lines(path):
        fields = _Line(path, number, line)
        isl, osl = fields.length("input_length", 1), fields.length("output_length", 0)
        ids = fields.hash_ids()
        if len(ids) != blocks_of(isl, block_size):
            msg = (
                f"{path}:{number}: hash_ids has {len(ids)} entries, but input_length {isl} in blocks of {block_size} tokens needs "
                f"{blocks_of(isl, block_size)}. {_advice(path)}"
            )
            raise WorkloadError(msg)
        yield TraceEntry(
            line=number,
            at_s=fields.seconds("timestamp"),
            isl=isl,
            osl=osl,
            hash_ids=tuple(map(known.setdefault, ids, ids)),
            session_id=fields.session_id(),
            delay_s=fields.seconds("delay"),
        )


class _Line:
    """The values of one line, each checked as it is asked for; errors name file, line and key."""

    def __init__(self, path: Path, number: int, line: bytes) -> None:
        self._where = f"{path}:{number}"
        try:
            values = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            msg = f"{self._where}: not JSON ({error}). A trace has one JSON object per line."
            raise WorkloadError(msg) from error
        if not isinstance(values, dict):
            msg = f"{self._where}: {_shown(values)} is no JSON object. A trace has one per line."
            raise WorkloadError(msg)
        self._values: Mapping[str, object] = values

    def length(self, key: str, least: int) -> int:
        value = self._required(key)
        number = self._number(key, value, least)
        if number != int(number):
            raise self._wrong(key, value, "a whole number of tokens")
        return int(number)

    def seconds(self, key: str) -> float | None:
        value = self._values.get(key)
        return None if value is None else self._number(key, value, 0) / 1e3

    def hash_ids(self) -> Sequence[int]:
        ids = self._required("hash_ids")
        if not isinstance(ids, list):
            raise self._wrong("hash_ids", ids, "a list of integers, one per block")
        for value in ids:
            if type(value) is not int or not 0 <= value < _LARGEST_ID:
                raise self._wrong("hash_ids", value, "integers from 0 to below 2^64")
        return ids

    def session_id(self) -> str | None:
        value = self._values.get("session_id")
        if value is None or isinstance(value, str):
            return value
        if type(value) is int:
            return str(value)
        raise self._wrong("session_id", value, "a text or an integer")

    def _required(self, key: str) -> object:
        if key in self._values:
            return self._values[key]
        if key == "output_length" and "output_tokens" in self._values:
            hint = ". There is output_tokens: the format's key is output_length, so rename it"
        else:
            hint = nearest(key, self._values.keys() - _KEYS) or f": the line has {', '.join(self._values) or 'no key at all'}"
        msg = f"{self._where}: {key} is missing{hint}"
        raise WorkloadError(msg)

    def _number(self, key: str, value: object, least: int) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= _LARGEST:
            since = ", counted from the first request of the trace" if key == "timestamp" else ""
            raise self._wrong(key, value, f"a number from {least} to 10^9{since}")
        return value

    def _wrong(self, key: str, value: object, wanted: str) -> WorkloadError:
        return WorkloadError(f"{self._where}: {key}: {_shown(value)} found, expected {wanted}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _advice(path: Path) -> str:
    """Which block size the whole file was written with, if there is one."""
    fitting = fitting_block_sizes(path)
    if fitting is None:
        return "No block size fits all lines: the lengths or the hashes are wrong (some tools leave out the last block, which is not full)."
    low, high = fitting
    powers = [2**power for power in range(31) if low <= 2**power <= high]
    if low == high or powers:
        return f"Block size {powers[0] if powers else low} fits all lines."
    return f"Block sizes from {low} to {high} fit all lines."


def fitting_block_sizes(path: Path) -> tuple[int, int] | None:
    """Smallest and largest block size with which every line of ``path`` has ceil(input_length / block size) hashes; ``None`` if none has,
    or a line has no such values. The largest is 10^9 where every line has one hash. Reads the whole file.
    """
    low, high = 1, _LARGEST
    for number, line in _lines(path):
        try:
            fields = _Line(path, number, line)
            isl, count = fields.length("input_length", 1), len(fields.hash_ids())
        except WorkloadError:
            return None
        if not count:
            return None
        low = max(low, blocks_of(isl, count))
        if count > 1:
            high = min(high, (isl - 1) // (count - 1))
    return (low, high) if low <= high else None


def _check_times(path: Path, entries: Sequence[TraceEntry]) -> None:
    """A trace has times, or it has none; a later turn of a session may do with its delay."""
    sessions: set[str] = set()
    timed = untimed = None
    for entry in entries:
        if entry.at_s is not None:
            timed = timed or entry
        elif entry.session_id not in sessions:
            untimed = untimed or entry
        if entry.session_id is not None:
            sessions.add(entry.session_id)
    if timed and untimed:
        msg = (
            f"{path}:{untimed.line}: timestamp is missing, while line {timed.line} has one: either every request has its time or none has. "
            f"Only later turns of a session may have a delay instead."
        )
        raise WorkloadError(msg)


def _check_order(path: Path, entries: Sequence[TraceEntry]) -> None:
    latest = None
    for entry in entries:
        if entry.at_s is None:
            continue
        if latest is not None and latest.at_s is not None and entry.at_s < latest.at_s:
            msg = (
                f"{path}:{entry.line}: timestamp {_milliseconds(entry.at_s)} is before that of line {latest.line}, "
                f"{_milliseconds(latest.at_s)}: lines stand in the order of their times. "
                "`dynperf workload adjust FILE --sort --output SORTED` writes such a file."
            )
            raise WorkloadError(msg)
        latest = entry


def _sorted(entries: Sequence[TraceEntry]) -> tuple[TraceEntry, ...]:
    """Stable; a turn without a time takes the one of the turn before."""
    times: dict[str | None, float] = {}
    keys = []
    for entry in entries:
        at_s = entry.at_s if entry.at_s is not None else times.get(entry.session_id, 0.0)
        if entry.session_id is not None:
            times[entry.session_id] = at_s
        keys.append(at_s)
    return tuple(entries[place] for place in sorted(range(len(entries)), key=keys.__getitem__))
