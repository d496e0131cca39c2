"""Which data a workload reads, as facts that bind comparability: what was asked is the content of a file, not its name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.scenario.traffic import ITEM_KINDS
from pytest_dynperf.workload.stream import question_set

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dynperf.scenario.case import Case

_PIECE_BYTES = 1 << 20


def workload_facts(case: Case) -> dict[str, str]:
    """``workload.file``: twelve hexadecimal digits of the SHA-256 of the file, of a directory: of its files' names and contents. Reads all
    of it: about a second per GB. ``workload.questions``: the same of the questions that are asked, in their order. Empty where the workload
    reads none.

    :raises WorkloadError: when it cannot be read.
    """
    if case.traffic.workload.kind in ITEM_KINDS:
        found = question_set(case.traffic.workload, Path(case.directory))
        return {
            "workload.questions": hashlib.sha256(repr((found.items, sorted(found.examples.items()), found.header)).encode()).hexdigest()[
                :12
            ]
        }
    name = case.traffic.workload.file
    if name is None:
        return {}
    path = Path(case.directory) / name
    digest = hashlib.sha256()
    try:
        for file in _files(path):
            digest.update(f"{file.name if file != path else ''}\0".encode())
            with file.open("rb") as opened:
                while piece := opened.read(_PIECE_BYTES):
                    digest.update(piece)
    except OSError as error:
        msg = f"traffic.workload.file = {name!r} of {case.name} cannot be read: {path}: {error.strerror or error}"
        raise WorkloadError(msg) from error
    return {"workload.file": digest.hexdigest()[:12]}


def _files(path: Path) -> Iterable[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else (path,)
