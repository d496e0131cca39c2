"""`dynperf workload adjust`, `synthesize`, `burstgpt`, `sine`: options → a trace file, and in words what is in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.load_options import destination
from pytest_dynperf.command.workload_files import free_path, trace_of
from pytest_dynperf.command.workload_options import SHAPING
from pytest_dynperf.command.workload_text import summary_line
from pytest_dynperf.errors import UsageError
from pytest_dynperf.report.wording import counted, percent
from pytest_dynperf.scenario.keys import KEYS, read
from pytest_dynperf.scenario.traffic import Traffic, Workload, flaw
from pytest_dynperf.workload import synthesizer
from pytest_dynperf.workload.analysis import analyze
from pytest_dynperf.workload.burstgpt import Selection, convert
from pytest_dynperf.workload.sine import Kind, Sine, Swing, sine_trace
from pytest_dynperf.workload.trace import write_trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pytest_dynperf.workload.analysis import Analysis
    from pytest_dynperf.workload.trace import TraceEntry


def adjust(arguments: argparse.Namespace) -> int:
    """Change a trace.

    :raises DynperfError: for a wrong trace or option, and when no request is left.
    """
    path, workload = free_path(arguments.output, force=arguments.force), _workload(arguments)
    entries = trace_of(arguments)
    adjusted = synthesizer.adjust(entries, workload, seed=arguments.seed)
    _written(path, adjusted, workload.block_size)
    if len(adjusted) < len(entries):
        _say(f"left out: {counted(len(entries) - len(adjusted), 'request')} of {len(entries):,}")
    return 0


def synthesize(arguments: argparse.Namespace) -> int:
    """Draw a trace.

    :raises DynperfError: as :func:`adjust`.
    """
    path, workload = free_path(arguments.output, force=arguments.force), _workload(arguments)
    entries = trace_of(arguments)
    count = arguments.requests or len(entries)
    made = synthesizer.synthesize(entries, workload, count=count, seed=arguments.seed, speedup=arguments.speedup)
    _written(path, made, workload.block_size)
    _say(f"seed {arguments.seed}, from {arguments.file}: {summary_line(analyze(entries, block_size=workload.block_size))}")
    if any(entry.session_id is not None for entry in entries):
        _say("sessions of the trace are not modelled: their turns were drawn as requests of their own")
    return 0


def burstgpt(arguments: argparse.Namespace) -> int:
    """Convert BurstGPT's table.

    :raises DynperfError: for a wrong table, and when no row is left.
    """
    path = free_path(arguments.output, force=arguments.force)
    selection = Selection(
        model=arguments.model,
        log_type=arguments.log_type,
        keep_failed=arguments.keep_failed,
        skip=arguments.skip_num_prompt,
        head=arguments.num_prompt,
    )
    converted = convert(
        Path(arguments.file),
        selection,
        speed=arguments.speed_ratio,
        block_size=arguments.block_size,
        hash_blocks=arguments.num_hash_blocks,
        seed=arguments.seed,
    )
    analysis = _written(path, converted.entries, arguments.block_size)
    failed = "kept, with an output length of 0" if arguments.keep_failed else "left out (--keep-failed keeps them)"
    _say(
        f"of {counted(converted.rows, 'row')} read: {converted.other:,} of other models or logs and {converted.empty:,} without request "
        f"tokens left out; {converted.failed:,} without response tokens, {failed}"
    )
    _say(
        f"reuse of the KV cache is not modelled: block hashes are random (seed {arguments.seed}), and the "
        f"{percent(analysis.token_hit_rate)} of input tokens that a cache would find are chance"
    )
    return 0


def sine(arguments: argparse.Namespace) -> int:
    """Make a sine trace.

    :raises UsageError: when a lowest value is above its highest one, and when no request results.
    """
    path = free_path(arguments.output, force=arguments.force)
    shape = Sine(
        duration_s=arguments.time_duration,
        interval_s=arguments.process_interval,
        rate_per_s=_swing(arguments, "request-rate"),
        first_share=_swing(arguments, "isl-osl-ratio"),
        first=Kind(isl=arguments.isl1, osl=arguments.osl1),
        second=Kind(isl=arguments.isl2, osl=arguments.osl2),
        block_size=arguments.block_size,
        total_blocks=arguments.total_blocks,
    )
    entries = sine_trace(shape, seed=arguments.seed)
    if not entries:
        msg = f"no request in {shape.duration_s:g} s at {shape.rate_per_s.low:g} to {shape.rate_per_s.high:g} requests/s: ask for more"
        raise UsageError(msg)
    _written(path, entries, shape.block_size)
    rate, mix, first, second = shape.rate_per_s, shape.first_share, shape.first, shape.second
    _say(
        f"seed {arguments.seed}, {shape.duration_s:g} s in intervals of {shape.interval_s:g} s: "
        f"{rate.low:g} to {rate.high:g} requests/s, period {rate.period_s:g} s; {percent(mix.low)} to {percent(mix.high)} of them "
        f"ISL {first.isl} and OSL {first.osl}, period {mix.period_s:g} s, the others ISL {second.isl} and OSL {second.osl}; "
        f"{shape.total_blocks:,} blocks of {shape.block_size} tokens"
    )
    return 0


def _workload(arguments: argparse.Namespace) -> Workload:
    """``--block-size`` and the options of shaping.

    :raises ScenarioError: for a value that is not allowed; UsageError for bounds that contradict each other.
    """
    given = {keyed: getattr(arguments, destination(keyed.option)) for keyed in SHAPING}
    values = {
        keyed.key.rpartition(".")[2]: read(KEYS[keyed.key], text, where=keyed.option) for keyed, text in given.items() if text is not None
    }
    workload = Workload(kind="trace", file=arguments.file, block_size=arguments.block_size, **values)  # type: ignore[arg-type]  # `read` checked each against its field
    if (text := flaw(Traffic(isl=1, osl=2, concurrency=1, workload=workload))) is not None:
        for keyed in SHAPING:
            text = text.replace(keyed.key, keyed.option)
        raise UsageError(text)
    return workload


def _swing(arguments: argparse.Namespace, name: str) -> Swing:
    low, high, period_s = (getattr(arguments, destination(f"--{name}-{end}")) for end in ("min", "max", "period"))
    if low > high:
        msg = f"--{name}-min {low:g} is above --{name}-max {high:g}; exchange them"
        raise UsageError(msg)
    return Swing(low=low, high=high, period_s=period_s)


def _written(path: Path, entries: Sequence[TraceEntry], block_size: int) -> Analysis:
    write_trace(path, entries)
    analysis = analyze(entries, block_size=block_size)
    _say(f"{path}: {summary_line(analysis)}")
    return analysis


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
