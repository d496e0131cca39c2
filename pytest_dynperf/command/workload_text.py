"""Analyses of traces in words, in drawings and as JSON. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from pytest_dynperf.quantity import Absent
from pytest_dynperf.report.chart import Chart, Series
from pytest_dynperf.report.wording import ABSENT, counted, digits, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_dynperf.workload.analysis import Analysis, Distribution, Histogram

SCHEMA = 1


def summary_line(analysis: Analysis) -> str:
    """``12,031 requests in 58 min 57 s (3.40 requests/s), ISL 12,035 and OSL 343 on average, 37.4 % of input tokens shared``."""
    timing = analysis.timing
    when = "" if isinstance(timing, Absent) else f" in {duration(timing.duration_s)} ({digits(timing.rate_per_s)} requests/s)"
    return (
        f"{counted(analysis.requests, 'request')}{when}, ISL {digits(analysis.isl.mean)} and OSL {digits(analysis.osl.mean)} on average, "
        f"{percent(analysis.token_hit_rate)} of input tokens reusable"
    )


def analysis_lines(analysis: Analysis, *, name: str, block_size: int) -> list[str]:
    """A table of lengths, and below it what is reusable, when it is sent and which sessions there are."""
    rows = [
        ("ISL, tokens", analysis.isl, 1.0),
        ("  shared context", analysis.context, 1.0),
        ("  unique prompt", analysis.unique, 1.0),
        ("OSL, tokens", analysis.osl, 1.0),
        ("blocks reusable, %", analysis.hit_rate, 100.0),
    ]
    if not isinstance(analysis.turns, Absent):
        rows.append(("turns of a session", analysis.turns, 1.0))
    titles = ("", "mean", "std", "min", *(f"p{level}" for level, _ in analysis.isl.percentiles), "max")
    held = f"{counted(analysis.distinct_blocks, 'block')}, {analysis.distinct_blocks * block_size:,} tokens"
    return [
        f"{name}: {summary_line(analysis)}, blocks of {block_size} tokens",
        "",
        *table_lines([titles, *((label, *_numbers(values, scale)) for label, values, scale in rows)]),
        "",
        f"reusable: {percent(analysis.token_hit_rate)} of all input tokens, by a cache that forgets nothing and holds {held}",
        *_timing_lines(analysis),
        f"sessions: {ABSENT} ({analysis.turns.reason})"
        if isinstance(analysis.turns, Absent)
        else "sessions: their turns stand in the table",
    ]


def _timing_lines(analysis: Analysis) -> list[str]:
    timing = analysis.timing
    if isinstance(timing, Absent):
        return [f"rate: {ABSENT} ({timing.reason})"]
    shape = f"{ABSENT} ({timing.burstiness.reason})" if isinstance(timing.burstiness, Absent) else digits(timing.burstiness)
    busiest, width_s = max(timing.sends.counts), timing.sends.edges[1] - timing.sends.edges[0]
    peak = f"{digits(busiest / width_s)} in the busiest {duration(width_s)} of {len(timing.sends.counts)}"
    return [
        f"rate: {digits(timing.rate_per_s)} requests/s on average, {peak}",
        f"burstiness: {shape} (gamma shape; 1 is Poisson, less is burstier), CV of the gaps {digits(timing.gap_cv)}",
    ]


def _numbers(values: Distribution, scale: float) -> list[str]:
    levels = [value for _, value in values.percentiles]
    return [digits(scale * value) for value in (values.mean, values.std, values.least, *levels, values.most)]


def table_lines(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """A line per row: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *others in rows:
        yield "  ".join([first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))]).rstrip()


def analysis_charts(analysis: Analysis) -> list[Chart]:
    """Lengths, reuse and, where there are times, the rate over time."""
    charts = [
        _bars("Input sequence length", "tokens", "requests", analysis.isl_histogram),
        _bars("Output sequence length", "tokens", "requests", analysis.osl_histogram),
        _bars("Blocks of a request that a cache would have", "%", "requests", analysis.hit_rate_histogram, x_scale=100.0),
    ]
    if not isinstance(analysis.timing, Absent):
        width_s = analysis.timing.sends.edges[1] - analysis.timing.sends.edges[0]
        charts.append(_bars("Rate over time", "s", "requests/s", analysis.timing.sends, y_scale=1 / width_s))
    return charts


def _bars(title: str, x_label: str, y_label: str, histogram: Histogram, *, x_scale: float = 1.0, y_scale: float = 1.0) -> Chart:
    """The outline of the bars."""
    edges = [edge * x_scale for edge in histogram.edges]
    heights = [count * y_scale for count in histogram.counts]
    line = [(edges[0], 0.0)]
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        line += [(left, height), (right, height)]
    line.append((edges[-1], 0.0))
    text = f"{title}: {len(heights)} bins from {edges[0]:g} to {edges[-1]:g} {x_label}, the highest has {max(heights):g} {y_label}"
    series = Series(label=title, style=0, points=(), line=tuple(line))
    return Chart(title=title, description=text, x_label=x_label, y_label=y_label, series=(series,))


def encode_analysis(analysis: Analysis, *, name: str, block_size: int) -> str:
    """All values, SI units, with a line end. What is absent is null, and ``absent`` says why, by dotted name."""
    absent: dict[str, str] = {}
    document = {"schema": SCHEMA, "file": name, "block_size": block_size, **_plain(asdict(analysis), "", absent), "absent": absent}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _plain(table: dict[str, object], where: str, absent: dict[str, str]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, dict) and set(value) == {"reason"}:  # an Absent, which asdict has opened
            absent[where + key] = str(value["reason"])
            plain[key] = None
        elif isinstance(value, dict):
            plain[key] = _plain(value, f"{where}{key}.", absent)
        elif key == "percentiles" and isinstance(value, tuple):
            plain |= {f"p{level}": number for level, number in value}
        else:
            plain[key] = value
    return plain
