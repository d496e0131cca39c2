"""The file of request records: one JSON object per line, in the order in which they were parsed.

Keys are the field names of :class:`~pytest_dynperf.observation.request_record.RequestRecord` in their order, with ``schema`` in
front, the three token counts in one object ``usage``, enums by value, and ``error`` as an object or null. ``item``, ``subject``,
``expected`` and ``answer`` stand only where there is one. A file whose name ends in ``.gz`` is packed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import fields
from typing import TYPE_CHECKING, cast

from pytest_dynperf.errors import UsageError
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

PACKED = ".gz"
"""The ending of a packed file."""

SCHEMA = 4
# 1 had no conversations, no tokens of a chunk and no first output; 2 had no items and no answers; 3 did not tell connecting from sending
_READABLE = (1, 2, 3, 4)
_USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens")
_OF_ITEMS = ("item", "subject", "expected", "answer")
_NAMES = tuple(field.name for field in fields(RequestRecord) if field.name not in _OF_ITEMS)


def encode(record: RequestRecord) -> bytes:
    """``record`` as one line, newline included. About 20 microseconds, and 1 more for every 10 chunks."""
    line: dict[str, object] = {"schema": SCHEMA}
    for name in _NAMES:
        value = getattr(record, name)
        if name in _USAGE:
            usage = line.setdefault("usage", {})
            assert isinstance(usage, dict)
            usage[name] = value
        elif isinstance(value, Stamp):
            line[name] = value.value
        elif isinstance(value, Failure):
            line[name] = {"kind": value.kind.value, "detail": value.detail}
        else:
            line[name] = value
    for name in _OF_ITEMS:
        if (value := getattr(record, name)) is not None:
            line[name] = value
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> RequestRecord:
    """The record of one line of :func:`encode`.

    :raises ValueError: when the line is not one, or of a newer schema (TypeError where the types are wrong). The text says what is wrong.
    """
    values = json.loads(line)
    if not isinstance(values, dict):
        msg = "not a JSON object"
        raise TypeError(msg)
    schema = values.pop("schema", None)
    if schema not in _READABLE:
        msg = f"schema {schema!r}, and this version reads {', '.join(map(str, _READABLE))}"
        raise ValueError(msg)
    try:
        values |= values.pop("usage")
        values["chunk_ns"] = tuple(values["chunk_ns"])
        if values.get("chunk_tokens") is not None:
            values["chunk_tokens"] = tuple(values["chunk_tokens"])
        values["stamp"] = Stamp(values["stamp"])
        if values["error"] is not None:
            values["error"] = Failure(kind=FailureKind(values["error"]["kind"]), detail=values["error"]["detail"])
        return RequestRecord(**values)
    except KeyError as error:
        msg = f"{error} is missing"
        raise ValueError(msg) from error


def records_at(path: Path) -> Path:
    """The file that holds the records of ``path``: itself; where it is not there, the packed one beside it, or the plain one that a run
    left behind which was killed. ``path`` where there is none of them.
    """
    other = path.with_suffix("") if path.suffix == PACKED else path.with_name(f"{path.name}{PACKED}")
    return other if not path.exists() and other.is_file() else path


def run_of(path: str) -> str:
    """``run-1`` of ``records/suite/case/run-1.jsonl.gz``, packed or not."""
    return path.rpartition("/")[2].removesuffix(PACKED).removesuffix(".jsonl")


def read_records(path: Path) -> Iterator[RequestRecord]:
    """The records of a file, packed or not (:func:`records_at`), lazily, in the order of its lines.

    :raises UsageError: when the file cannot be read, or a line of it is no record; names the file and the line.
    """
    path = records_at(path)
    try:
        with cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == PACKED else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield decode(line)
                except (ValueError, TypeError) as error:
                    msg = f"{path}:{number}: not a request record: {error}. A run that was killed may end in half a line: delete it."
                    raise UsageError(msg) from error
    except (OSError, EOFError, zlib.error) as error:
        msg = f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        raise UsageError(msg) from error
