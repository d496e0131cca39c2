"""`dynperf load --driver aiperf`: the same options, table and files, with AIPerf as the load generator.

What AIPerf cannot do, and what it does not tell, is refused before anything is sent.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.live_line import LiveLine
from pytest_dynperf.command.load_files import records_path
from pytest_dynperf.command.load_options import BOUNDS, destination
from pytest_dynperf.errors import DynperfError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_dynperf.command.load_interruption import Interruption
    from pytest_dynperf.measurement.foreign import ForeignRun
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.report.load_report import LoadReport
    from pytest_dynperf.session.aiperf import AiperfDriver
    from pytest_dynperf.session.load_once import Load

_KNOWN = {"--max-error-share", "--min-in-flight-share", "--min-rate-share"}
"""Bounds of a valid run that its files can keep or break."""
_SENSELESS = {
    "--processes": "AIPerf chooses how many processes it has",
    "--metrics-url": "the server's metrics are read beside our own load generator alone",
    "--inter-token-timeout": "AIPerf has a deadline for the whole request alone, --timeout",
    "--max-in-flight": "AIPerf makes requests beyond it wait, and does not drop them",
    **{keyed.option: "its lags are not known" for keyed in BOUNDS if keyed.option not in _KNOWN},
}


def aiperf_of(arguments: argparse.Namespace, load: Load) -> AiperfDriver | None:
    """The AIPerf to use for ``load``, or ``None`` for our own load generator. Starts AIPerf twice, to ask for its version and options.

    :raises UsageError: for an executable that is not AIPerf, and for what AIPerf cannot be asked for.
    """
    if arguments.driver != "aiperf":
        if arguments.aiperf_executable is not None:
            msg = "--aiperf-executable has a meaning only with --driver aiperf"
            raise UsageError(msg)
        return None
    if arguments.aiperf_executable is None:
        msg = "--driver aiperf needs --aiperf-executable PATH: bin/aiperf of an environment with `pip install aiperf==0.13.0`"
        raise UsageError(msg)
    for option, why in _SENSELESS.items():
        if getattr(arguments, destination(option)):
            msg = f"{option} has no meaning with --driver aiperf: {why}"
            raise UsageError(msg)
    from pytest_dynperf.session.aiperf import check, find_aiperf

    driver = find_aiperf(Path(arguments.aiperf_executable).expanduser(), tokenizer=load.tokenizer)
    for number in range(1, load.traffic.runs + 1):
        check(driver, load.endpoint, load.traffic, _home(Path(arguments.aiperf or "aiperf-of-no-run"), number))
    return driver


def bounded(load: Load, arguments: argparse.Namespace) -> Load:
    """With the share of the concurrency that imports ask for: AIPerf lets its load drain."""
    from pytest_dynperf.session.imported import EXPECTATION

    if arguments.min_in_flight_share is not None:
        return load
    return replace(load, expectation=replace(load.expectation, min_in_flight_share=EXPECTATION.min_in_flight_share))


def answered(load: Load) -> Load:
    """The load whose server answers; with a tokenizer, also as many tokens as that counts.

    :raises DynperfError: as :func:`~pytest_dynperf.session.load_once.prepared`.
    """
    from pytest_dynperf.session import load_once

    return load_once.answered(load) if load.tokenizer is None else load_once.prepared(load).load


def conduct(driver: AiperfDriver, load: Load, arguments: argparse.Namespace, interruption: Interruption) -> LoadReport:
    """Up to R runs, and their files; a run that fails or is interrupted is the last one, and the report says so.

    :raises DynperfError: when a file cannot be written.
    """
    from pytest_dynperf.observation.record_file_writing import write_records
    from pytest_dynperf.session.aiperf import aiperf_report_of

    done: list[tuple[Run, ForeignRun]] = []
    ended = None
    with _kept(arguments.aiperf) as directory:
        for number in range(1, load.traffic.runs + 1):
            made = _run(driver, load, number, _home(directory, number), interruption)
            if isinstance(made, str):
                log = str(_home(directory, number) / "aiperf.log")
                ended = made if arguments.aiperf is not None else made.replace(log, "(--aiperf DIR keeps it)")
                break
            done.append(made)
            if arguments.records is not None:
                write_records(records_path(Path(arguments.records), number), made[1].records)
            if made[0].errors == made[0].requests:
                break  # a server that is down is not hammered
    return aiperf_report_of(driver, load, done, ended=ended, interrupted=interruption.happened)


def _run(driver: AiperfDriver, load: Load, number: int, directory: Path, interruption: Interruption) -> tuple[Run, ForeignRun] | str:
    """A run, or why there is none."""
    from pytest_dynperf.report.load_text import progress_line
    from pytest_dynperf.session.aiperf import one_aiperf_run

    runs, total = load.traffic.runs, load.traffic.request_count + load.traffic.warmup_count
    live = LiveLine(sys.stderr)

    def show(written: int, _elapsed_s: float) -> None:
        if interruption.happened:
            raise KeyboardInterrupt
        live.show(
            lambda: progress_line(
                run=number, runs=runs, done=written, total=total, in_flight=None, tokens_per_s=None, troubles={}, seconds_left=None
            )
        )

    try:
        return one_aiperf_run(driver, load, number, directory=directory, progress=show)
    except KeyboardInterrupt:
        return (
            f"run-{number}: {interruption.incident() or 'interrupted'}; AIPerf was stopped, and keeps nothing of a run that has not ended"
        )
    except DynperfError as error:
        return f"run-{number}: {error}"
    finally:
        live.clear()


@contextmanager
def _kept(name: str | None) -> Iterator[Path]:
    """Where AIPerf writes: the directory that was named, else one that goes away with the load."""
    if name is not None:
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="dynperf-aiperf-") as directory:
        yield Path(directory)


def _home(directory: Path, number: int) -> Path:
    return directory / f"run-{number}"
