"""`dynperf load`: the load generator without pytest, in the role of `vllm bench serve`. Judges nothing; says whether it may be judged."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.exit_code import INTERRUPTED, INVALID
from pytest_dynperf.command.live_line import LiveLine
from pytest_dynperf.command.load_aiperf import aiperf_of, answered, bounded, conduct
from pytest_dynperf.command.load_files import prove_writable, records_path
from pytest_dynperf.command.load_interruption import Interruption
from pytest_dynperf.command.load_options import add_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.load.progress import Progress
    from pytest_dynperf.report.load_report import LoadReport
    from pytest_dynperf.scenario.traffic import Traffic
    from pytest_dynperf.secret import Secrets
    from pytest_dynperf.session.aiperf import AiperfDriver
    from pytest_dynperf.session.load_once import Load, Loaded, Prepared


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``load``."""
    parser = subparsers.add_parser(
        "load",
        help="send load to a server that runs, and say how it does and what the numbers are worth",
        description="Send load to an OpenAI-compatible server; print latencies, throughput, and what the load generator knows of itself.",
        allow_abbrev=False,
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure R runs, print and write them.

    :raises DynperfError: before anything is sent: for options, files that could not be written, and a server that is not as it must be.
    """
    from pytest_dynperf.command.load_meaning import load_of

    load = load_of(arguments)
    driver = aiperf_of(arguments, load)
    if arguments.plan:
        return _plan(load, driver)
    prove_writable(arguments)
    if driver is not None:
        return _conduct_aiperf(load, driver, arguments)
    return _conduct(load, arguments)


def _plan(load: Load, driver: AiperfDriver | None) -> int:
    from pytest_dynperf.report.load_text import asked_lines
    from pytest_dynperf.report.wording import duration
    from pytest_dynperf.session.plan import ASSUMED_S_PER_OUTPUT_TOKEN, assumed_run_s

    prompts = "the server's own counts" if load.tokenizer is None else f"tokenizer in {load.tokenizer}"
    lines = (
        asked_lines(load.endpoint, load.traffic, seed=load.seed, prompts=prompts, width=_columns())
        if driver is None
        else _asked_of(driver, load)
    )
    seconds = load.traffic.runs * (assumed_run_s(load.traffic) + _trace_s(load.traffic))
    lines += [f"about {duration(seconds)}, if an output token takes {ASSUMED_S_PER_OUTPUT_TOKEN * 1e3:g} ms; nothing was sent"]
    _print(lines)
    return 0


def _trace_s(traffic: Traffic) -> float:
    """How long the trace itself takes; 0 where its times do not matter."""
    if traffic.arrival.process != "trace" or traffic.workload.file is None:
        return 0.0
    from pytest_dynperf.workload.trace import read_trace

    times = [entry.at_s for entry in read_trace(Path(traffic.workload.file), block_size=traffic.workload.block_size)]
    known = [at_s for at_s in times[: traffic.request_count] if at_s is not None]
    return (known[-1] - known[0]) / traffic.arrival.speedup if known else 0.0


def _conduct(load: Load, arguments: argparse.Namespace) -> int:
    from pytest_dynperf.report.load_text import asked_lines
    from pytest_dynperf.session.load_once import prepared, report_of

    ready = prepared(load)
    _print(asked_lines(ready.load.endpoint, load.traffic, seed=load.seed, prompts=ready.prompts, width=_columns()))
    with Interruption() as interruption:
        done = _runs(ready, arguments.records, interruption)
    if arguments.aiperf is not None:
        _export(ready, done, Path(arguments.aiperf))
    return _told(report_of(ready, done, interrupted=interruption.happened), arguments)


def _conduct_aiperf(load: Load, driver: AiperfDriver, arguments: argparse.Namespace) -> int:
    load = answered(bounded(load, arguments))
    _print(_asked_of(driver, load))
    with Interruption(patient=True) as interruption:
        report = conduct(driver, load, arguments, interruption)
    return _told(report, arguments)


def _asked_of(driver: AiperfDriver, load: Load) -> list[str]:
    from pytest_dynperf.report.load_text import asked_lines
    from pytest_dynperf.session.aiperf import prompts_of

    return asked_lines(load.endpoint, load.traffic, seed=load.seed, prompts=prompts_of(driver), width=_columns(), generator=driver.name)


def _told(report: LoadReport, arguments: argparse.Namespace) -> int:
    """Write and print it; the exit code."""
    from pytest_dynperf.command.load_meaning import in_options
    from pytest_dynperf.report.load_json import encode_load
    from pytest_dynperf.report.load_text import load_lines
    from pytest_dynperf.run_directory import write_atomically
    from pytest_dynperf.secret import redact_value
    from pytest_dynperf.session.redaction import KEPT

    report = redact_value(report, _secrets(report.endpoint), keep=KEPT)
    if arguments.json is not None:
        write_atomically(Path(arguments.json), encode_load(report))
    _print(["", *(in_options(line) for line in load_lines(report, width=_columns()))])
    if report.interrupted:
        return INTERRUPTED
    return INVALID if report.problems else 0


def _runs(ready: Prepared, records: str | None, interruption: Interruption) -> list[Loaded]:
    """As many as are asked for, or up to the first one that something ended early."""
    from pytest_dynperf.report.load_text import progress_line
    from pytest_dynperf.session.load_once import one_run

    runs = ready.load.traffic.runs
    done: list[Loaded] = []
    live = LiveLine(sys.stderr)

    def show(progress: Progress) -> None:
        share, number = progress.done / progress.total if progress.total else 0.0, len(done) + 1
        left_s = progress.elapsed_s / share * (runs - number + 1 - share) if share > 0 else None
        live.show(
            lambda: progress_line(
                run=number,
                runs=runs,
                done=progress.done,
                total=progress.total,
                in_flight=progress.in_flight,
                tokens_per_s=progress.tokens_per_s,
                troubles={"failed": progress.errors, "late": progress.late, "dropped": progress.dropped},
                seconds_left=left_s,
            )
        )

    try:
        for number in range(1, runs + 1):
            path = None if records is None else records_path(Path(records), number)
            loaded = one_run(ready, number, records_path=path, progress=show, incident=interruption.incident)
            done.append(loaded)
            if loaded.recording.incidents or loaded.run.errors == loaded.run.requests:
                break  # a server that is down is not hammered
    finally:
        live.clear()
    return done


def _export(ready: Prepared, done: Sequence[Loaded], directory: Path) -> None:
    from importlib.metadata import version

    from pytest_dynperf.report.aiperf_files import Origin, export
    from pytest_dynperf.secret import redact_value
    from pytest_dynperf.session.load_once import facts_of

    endpoint = redact_value(ready.load.endpoint, _secrets(ready.load.endpoint))
    epoch_ns = time.time_ns() - time.monotonic_ns()
    export(
        [loaded.recording for loaded in done],
        traffic=ready.load.traffic,
        facts=facts_of(ready.load),
        origin=Origin(
            model=endpoint.model,
            url=endpoint.base_url,
            generator="pytest-dynperf",
            generator_version=version("pytest-dynperf"),
            epoch_ns=epoch_ns,
        ),
        directory=directory,
        problems=[loaded.run.problems for loaded in done],
    )


def _columns() -> int:
    """Of the terminal; a pipe has room."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 100


def _secrets(endpoint: Endpoint | None = None) -> Secrets:
    from pytest_dynperf.secret import known_secrets

    if endpoint is None:
        return known_secrets(os.environ, arguments=sys.argv)
    return known_secrets(os.environ, variables=(endpoint.api_key_variable,), arguments=sys.argv, headers=endpoint.headers)


def _print(lines: Iterable[str]) -> None:
    from pytest_dynperf.secret import redact

    secrets = _secrets()
    sys.stdout.write("".join(f"{redact(line, secrets)}\n" for line in lines))
    sys.stdout.flush()
