"""Files of `dynperf workload`: what is read, and that nothing is replaced unasked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError
from pytest_dynperf.workload.trace import read_trace

if TYPE_CHECKING:
    import argparse

    from pytest_dynperf.workload.trace import TraceEntry


def trace_of(arguments: argparse.Namespace) -> tuple[TraceEntry, ...]:
    """The trace that FILE, ``--block-size`` and ``--sort`` name.

    :raises WorkloadError: as :func:`~pytest_dynperf.workload.trace.read_trace`.
    """
    return read_trace(Path(arguments.file), block_size=arguments.block_size, sort=arguments.sort)


def free_path(name: str, *, force: bool) -> Path:
    """``name`` as a path that may be written.

    :raises UsageError: when something is there already, unless ``force``; a directory in any case.
    """
    path = Path(name)
    if path.is_dir():
        msg = f"cannot write {path}: it is a directory. Name a file in it."
        raise UsageError(msg)
    if path.exists() and not force:
        msg = f"{path} exists. Choose another name, or replace it with --force."
        raise UsageError(msg)
    return path
