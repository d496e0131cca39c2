"""One load on the terminal: what was asked, a table, what the generator says about itself, whether it is valid. Text only, no colour.

Seconds are shown in ms. ``–`` stands for what is absent, and below the table stands why; what no request could give is never 0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.catalogue import CATALOGUE, statistics
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.metrics.statistic import STATISTICS
from pytest_dynperf.report import wording
from pytest_dynperf.report.load_report import OWN
from pytest_dynperf.report.meaning import label, unit_of
from pytest_dynperf.report.wrapping import printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.observation.recording import Certificate
    from pytest_dynperf.report.load_report import CellOverRuns, LoadReport
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.scenario.traffic import Traffic

MIN_WIDTH, MAX_WIDTH = 40, 100
ERROR_RATE = Cell("request_error_rate.v1", "value")
_CERTIFICATE_COLUMN = 17
_DETAIL = re.compile(r"( \([^()]*\)|, found [\d,]+)$")
_NAMED = 4
"""A reason names this many metrics and counts the rest."""


def asked_lines(endpoint: Endpoint, traffic: Traffic, *, seed: int, prompts: str | None, width: int, generator: str = OWN) -> list[str]:
    """What will be sent, before it is; and by whom, where that is not us."""
    width = max(MIN_WIDTH, min(width, MAX_WIDTH))
    count = wording.counted(traffic.runs, "run")
    model = f"model {endpoint.model}" if endpoint.model else "the one model that it serves"
    api = "chat completions" if endpoint.api == "chat" else "text completions"
    requests = f"{traffic.warmup_count:,} to warm up and {traffic.request_count:,} measured requests"
    parts = [
        f"{endpoint.base_url}: {model}, {api}",
        f"{_arrival(traffic)}; {_workload(traffic)}",
        f"{count} of {requests}, seed {seed}",
    ]
    if prompts is not None:
        parts.append(f"lengths of prompts: {prompts}")
    if generator != OWN:
        parts.append(f"load generator: {_foreign(generator)}")
    return [line for part in parts for line in wrapped(part, width)]


def _foreign(generator: str) -> str:
    return f"{generator}; its lags are not known"


def _arrival(traffic: Traffic) -> str:
    arrival = traffic.arrival
    rate = f"{arrival.rate_per_s:g} requests/s" if arrival.rate_per_s is not None else ""
    words = {
        "concurrency": f"closed loop, {traffic.concurrency} in flight",
        "constant": f"open loop, {rate}, equal gaps",
        "poisson": f"open loop, {rate}, Poisson",
        "gamma": f"open loop, {rate}, gamma with burstiness {arrival.burstiness:g}",
        "sinusoidal": f"open loop, {_g(arrival.min_rate_per_s)} to {_g(arrival.max_rate_per_s)} requests/s every {_g(arrival.period_s)} s",
        "trace": "open loop, at the times of the trace" + (f", {arrival.speedup:g} times as fast" if arrival.speedup != 1 else ""),
    }[arrival.process]
    if arrival.ramp_s:
        words += f", growing over {arrival.ramp_s:g} s"
    return words + (f", at most {arrival.max_in_flight} in flight" if arrival.max_in_flight is not None else "")


def _g(value: float | None) -> str:
    return wording.ABSENT if value is None else f"{value:g}"


def _workload(traffic: Traffic) -> str:
    workload = traffic.workload
    isl = f"ISL {traffic.isl:,}" + (f" ± {workload.isl_stddev:g}" if workload.isl_stddev else "")
    osl = f"OSL {traffic.osl:,}" + (f" ± {workload.osl_stddev:g}" if workload.osl_stddev else "")
    if workload.file is not None and workload.kind != "images":
        what = "conversations" if workload.kind == "conversation" else "requests"
        return f"{what} of {workload.file}, on average {isl}, {osl}"
    words = {
        "synthetic": "random prompts",
        "shared-prefix": f"{wording.percent(workload.prefix_ratio)} of each prompt from "
        f"{wording.counted(workload.prefix_count, 'shared prefix').replace('prefixs', 'prefixes')}",
        "conversation": f"conversations of {workload.turns} turns with {workload.turn_delay_s:g} s between",
        "mmlu": "questions of cais/mmlu",
        "fact-table": "questions about tables of facts",
        "images": f"{wording.counted(workload.image_count, 'picture')} with each random prompt",
    }[workload.kind]
    return f"{words}, {isl}, {osl}"


def load_lines(report: LoadReport, *, width: int) -> list[str]:
    """What was measured, at most ``width`` columns wide where words allow it."""
    width = max(MIN_WIDTH, min(width, MAX_WIDTH))
    lines = [line for run in report.runs for line in _run_lines(run, len(report.runs), width)]
    if any(run.requests > run.errors for run in report.runs):
        lines += ["", *_table(report, width), *_absences(report.cells, width)]
    elif report.runs:
        lines += ["", "no successful request: there is no latency and no throughput"]
    for run in report.runs:
        lines += ["", *_certificate_lines(report, run, width)]
    notes = [line for note in report.notes for line in wrapped(f"note: {note}", width)]
    return [printable(line) for line in [*lines, "", *notes, *_validity(report, width)]]


def _run_lines(run: Run, runs: int, width: int) -> list[str]:
    failed = "none failed" if not run.errors else f"{run.errors:,} failed"
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in run.error_kinds.items())
    head = f"{run.name}: " if runs > 1 else ""
    text = f"{head}{wording.counted(run.requests, 'measured request')} in {wording.duration(run.duration_s)}, {failed}"
    return wrapped(text + (f": {kinds}" if kinds else ""), width)


def _table(report: LoadReport, width: int) -> Iterator[str]:
    """Distributions first, a row each, then what has one value per run; stacked where the row does not fit."""
    found = {entry.cell: entry for entry in report.cells}
    several = len(report.runs) > 1
    metrics = [metric for metric, means in CATALOGUE.items() if means.samples is not None and _has_value(found, metric)]
    titles = (f"mean of {len(report.runs)} runs" if several else "", *STATISTICS, *(("run CV of p50",) if several else ()))
    table = [(f"{_name(metric)} ({_unit(metric)})", *_row(found, metric, several=several)) for metric in metrics]
    widths = [max(len(row[column]) for row in (titles, *table)) for column in range(len(titles))]
    if sum(widths) + 2 * (len(widths) - 1) <= width:
        for row in (titles, *table):
            yield "  ".join([row[0].ljust(widths[0]), *(text.rjust(size) for text, size in zip(row[1:], widths[1:], strict=True))]).rstrip()
    else:
        for row in table:
            yield from wrapped(row[0], width)
            yield from wrapped(" · ".join(f"{name} {text}" for name, text in zip(titles[1:], row[1:], strict=True)), width, "  ")
    singles = [metric for metric, means in CATALOGUE.items() if means.value is not None and _has_value(found, metric)]
    longest = max((len(_name(metric)) for metric in singles), default=0)
    for metric in singles:
        entry = found[Cell(metric, "value")]
        cv = f"  (run CV {wording.percent(entry.run_cv)})" if entry.run_cv is not None else ""
        yield f"{_name(metric).ljust(longest)}  {wording.quantity(entry.mean, unit_of(metric, {}))}{cv}"


def _unit(metric: str) -> str:
    return wording.unit_shown(CATALOGUE[metric].unit.value)


def _has_value(found: Mapping[Cell, CellOverRuns], metric: str) -> bool:
    cells = [Cell(metric, name) for name in statistics(CATALOGUE[metric])]
    return any(cell in found and found[cell].mean is not None for cell in cells)


def _row(found: Mapping[Cell, CellOverRuns], metric: str, *, several: bool) -> list[str]:
    unit = CATALOGUE[metric].unit.value
    means = [found[Cell(metric, name)].mean for name in STATISTICS]
    texts = [wording.ABSENT if mean is None else wording.digits(wording.scaled(mean, unit)) for mean in means]
    return [*texts, wording.percent(found[Cell(metric, "p50")].run_cv)] if several else texts


def _absences(cells: Iterable[CellOverRuns], width: int) -> list[str]:
    """Each reason once, with what lacks a value for it: single statistics of a row, or the whole metric. Reasons that differ in their last
    detail alone (of which server metric, how many samples) are one; the JSON has them whole.
    """
    found = {entry.cell: entry for entry in cells}
    lacking: dict[str, dict[str, str]] = {}
    for metric, means in CATALOGUE.items():
        whole = not _has_value(found, metric)
        for name in statistics(means)[: 1 if whole else None]:
            reason = found[Cell(metric, name)].absent
            if reason is not None:
                lacking.setdefault(_DETAIL.sub("", reason), {})[_name(metric)] = reason
    lines = []
    for short, names in lacking.items():
        reasons = set(names.values())
        lines += wrapped(f"{wording.ABSENT} {reasons.pop() if len(reasons) == 1 else short}: {_named(list(names))}", width)
    return lines


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _name(metric: str) -> str:
    return label(Cell(metric, "value"))


def _certificate_lines(report: LoadReport, run: Run, width: int) -> list[str]:
    head = f"load generator, {run.name}" if len(report.runs) > 1 else "load generator"
    if report.generator == OWN:
        facts = [*_lags(run.certificate, report.expectation), *_offered(run.certificate, report.traffic), *_machine(run)]
    else:
        facts = [("made by", _foreign(report.generator)), *_offered(run.certificate, report.traffic)]
    return [head, *(line for name, text in facts for line in _fact(name, text, width))]


def _fact(name: str, text: str, width: int) -> list[str]:
    first, *others = wrapped(text, width - _CERTIFICATE_COLUMN - 2)
    return [f"  {name.ljust(_CERTIFICATE_COLUMN)}{first}", *(" " * (_CERTIFICATE_COLUMN + 2) + line for line in others)]


def _lags(certificate: Certificate, bounds: Expectation) -> Iterator[tuple[str, str]]:
    yield "send lag", f"p99 {_ms(certificate.send_lag_p99_s)}, allowed {_ms(bounds.max_send_lag_s)}"
    received = certificate.receive_lag_p99_s
    unknown = "not known: stamps are taken in the program, as over TLS"
    yield "receive lag", unknown if received is None else f"p99 {_ms(received)}, allowed {_ms(bounds.max_receive_lag_s)}"
    if certificate.loop_lag_p99_s is not None:
        yield "event loop lag", f"p99 {_ms(certificate.loop_lag_p99_s)}, largest {_ms(certificate.loop_lag_max_s)}"
    if certificate.coalesced_share is not None:
        uncertain = certificate.uncertain_share
        more = "" if uncertain is None else f", {wording.percent(uncertain)} with a stamp that may be too late"
        yield "coalesced", f"{wording.percent(certificate.coalesced_share)} of chunks shared a read{more}"


def _offered(certificate: Certificate, traffic: Traffic) -> Iterator[tuple[str, str]]:
    if certificate.mean_in_flight is not None:
        of = f" of {traffic.concurrency}" if traffic.arrival.closed else ""
        yield "in flight", f"{wording.digits(certificate.mean_in_flight)}{of} on average"
    if certificate.achieved_rate_per_s is not None:
        yield (
            "rate",
            (
                f"{_rate(certificate.achieved_rate_per_s)} sent of {_rate(certificate.scheduled_rate_per_s)} due, "
                f"{certificate.late_sends:,} late, {certificate.dropped_sends:,} dropped"
            ),
        )


def _machine(run: Run) -> Iterator[tuple[str, str]]:
    yield "CPU", _cpu(run.certificate, run.duration_s)
    step_s = abs(run.certificate.clock_step_s)
    yield "clock step", "less than 0.001 ms" if step_s < 1e-6 else _ms(step_s)


def _ms(seconds: float | None) -> str:
    return wording.quantity(seconds, "s")


def _rate(rate: float | None) -> str:
    return wording.quantity(rate, "requests/s")


def _cpu(certificate: Certificate, duration_s: float) -> str:
    count = len(certificate.processes)
    processes = f"{count} process" if count == 1 else f"{count} processes"
    if certificate.cpu_s is None:
        return f"{processes}, time not known"
    share = f" ({wording.percent(certificate.cpu_s / duration_s)} of a core)" if duration_s > 0 else ""
    waited = "" if certificate.run_delay_s is None else f", waited {certificate.run_delay_s:.2f} s for one"
    return f"{processes}, {certificate.cpu_s:.2f} s{share}{waited}"


def _validity(report: LoadReport, width: int) -> list[str]:
    if not report.problems:
        return ["valid"]
    lines = [line for problem in report.problems for line in wrapped(f"INVALID: {problem}", width)]
    return [*lines, *(wrapped("What is printed above was measured, and must not be judged.", width) if report.runs else [])]


def progress_line(
    *,
    run: int,
    runs: int,
    done: int,
    total: int,
    in_flight: int | None,
    tokens_per_s: float | None,
    troubles: Mapping[str, int],
    seconds_left: float | None,
) -> str:
    """``run 1/3 · 120 of 200 requests · 8 in flight · 812 tok/s · 2 failed · 12 s left``; what is 0 or not known yet is left out."""
    parts = [f"run {run}/{runs}"] if runs > 1 else []
    parts.append(f"{done:,} of {total:,} requests")
    if in_flight is not None:
        parts.append(f"{in_flight:,} in flight")
    if tokens_per_s is not None:
        parts.append(wording.quantity(tokens_per_s, "tokens/s"))
    parts += [f"{count:,} {what}" for what, count in troubles.items() if count]
    if seconds_left is not None:
        parts.append(f"{wording.duration(seconds_left) if seconds_left >= 60 else f'{seconds_left:.0f} s'} left")
    return printable(" · ".join(parts))
