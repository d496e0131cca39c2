"""The files that `dynperf load` writes: where they go, and that they can be written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    import argparse


def records_path(path: Path, number: int) -> Path:
    """FILE for the first run, ``FILE.run-2`` with the same ending for the second (``r.run-2.jsonl.gz`` of ``r.jsonl.gz``)."""
    ending = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    return path if number == 1 else path.with_name(f"{path.name.removesuffix(ending)}.run-{number}{ending}")


def prove_writable(arguments: argparse.Namespace) -> None:
    """Before the load: an hour of it must not end with a file that cannot be written.

    :raises UsageError: naming the path and why.
    """
    files = [Path(name) for name in (arguments.json, arguments.records) if name is not None]
    if len(set(files)) < len(files):
        msg = f"--json and --records both name {files[0]}"
        raise UsageError(msg)
    try:
        for path in files:
            _prove_directory(path.parent, path)
            if path.is_dir():
                raise IsADirectoryError(None, "it is a directory", str(path))
        if arguments.aiperf is not None:
            _prove_directory(Path(arguments.aiperf), Path(arguments.aiperf))
    except OSError as error:
        msg = f"cannot write {error.filename}: {error.strerror or error}. Choose another place."
        raise UsageError(msg) from error


def _prove_directory(directory: Path, wanted: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".dynperf."):
            pass
    except OSError as error:
        error.filename = str(wanted)
        raise
