"""What a session says on the terminal: header, live line, failure text, summary. Text only; who prints it decides on colour.

Text from outside (server errors, log lines) loses its control characters here: it must not steer the reader's terminal.
Tables and sentences keep to the width; paths and commands stay whole on their line, to be copied.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.report import (
    annotations_text,
    certainty_text,
    duet_text,
    parity_text,
    reason_text,
    suspicion_text,
    waiver_text,
    wording,
)
from pytest_dynperf.report.meaning import ITL, THROUGHPUT, TTFT, label, unit_of
from pytest_dynperf.report.rows import Row, provenance_changes, row_of, rows
from pytest_dynperf.report.session_report import CaseResult, SessionReport, withheld
from pytest_dynperf.report.standing import Standing, standing, tally
from pytest_dynperf.report.wrapping import printable, wrapped
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_dynperf.scenario.platform import Platform

MAX_WIDTH = 100
MIN_WIDTH = 40
_FEW_FILES = 5
_FEW_CASES = 12
"""Up to here every case has a line; beyond, unchanged ones are counted."""


@dataclass(frozen=True, slots=True)
class Line:
    """``style`` is one of ``""``, ``"red"``, ``"green"``, ``"yellow"``, ``"bold"``."""

    text: str
    style: str = ""


def header(
    *,
    platform: Platform,
    versions: Mapping[str, str],
    baseline_directory: str,
    seed: int,
    hardware: str = "",
    engines: Sequence[str] = (),
) -> list[str]:
    """Two lines for the head of a pytest run. ``hardware`` is what is there (``2 x NVIDIA H200, driver 570.86``), by default what the
    platform asks for; ``engines`` what will be started (``vllm 0.31.0``).
    """
    asked = f"{platform.gpu_count} x {platform.gpu_pattern}" if platform.gpu_count else "no GPU"
    if platform.launcher == "attached":
        asked = "GPUs unknown"
    timing = " (simulated timing, real frontend and router)" if platform.simulated else ""
    parts = [f"platform {platform.name}{timing}", hardware or asked, f"launcher {platform.launcher}"]
    parts += [f"engine {', '.join(engines)}"] if engines else []
    parts += [f"{name} {version}" for name, version in sorted(versions.items())]
    return [
        printable(f"dynperf: {', '.join(parts)}"),
        printable(f"dynperf: baselines in {baseline_directory}, seed {seed}, intervals 90 %"),
    ]


def live_line(
    suite: str, case_id: str, *, run: int, runs: int, share: float, tokens_per_s: float | None, seconds_left: float | None
) -> str:
    """``concurrency_sweep c64 · run 2/3 · 61 % · 812 tok/s · 4 min left``; what is not known yet is left out."""
    parts = [f"{suite} {case_id}", f"run {run}/{runs}", f"{share * 100:.0f} %"]
    if tokens_per_s is not None:
        parts.append(wording.quantity(tokens_per_s, "tokens/s"))
    if seconds_left is not None:
        parts.append(f"{seconds_left:.0f} s left" if seconds_left < 60 else f"{seconds_left / 60:.0f} min left")
    return printable(" · ".join(parts))


def failure_text(result: CaseResult, *, run_directory: str = "", width: int = MAX_WIDTH) -> str:
    """Why a case failed, for people: what, from → to, how sure, where to look first, the commands to repeat and to accept.

    Expired waivers come first. Paths of logs and records are shown below ``run_directory``. Sentences keep to ``width``, which is bounded
    as that of the summary.
    """
    width = max(MIN_WIDTH, min(width, MAX_WIDTH))
    result = withheld(result)
    verdict = result.verdict
    lines = [f"{standing(verdict).text.upper()}: {result.case.name}"]
    for waiver in verdict.expired:
        lines += _paragraphs(waiver_text.expired(waiver), "  ", width)
    if verdict.expired:
        lines += _paragraphs(waiver_text.remedy(), "  ", width)
    if verdict.waiver is not None:
        lines += _paragraphs(waiver_text.waived(verdict.waiver), "  ", width)
    shown = [cell for cell in verdict.cells if cell.outcome is Outcome.REGRESSED or _open(cell)]
    for cell in sorted(shown, key=lambda cell: -cell.outcome):
        lines += _cell_text(result, cell, width)
    for reason in reason_text.reasons(verdict, but=shown):
        lines += _paragraphs(reason, "  ", width)
    lines += [line for text in parity_text.failure_lines(result) for line in _paragraphs(text, "  ", width)]
    if verdict.confirmed:
        lines += _paragraphs(f"confirmed by: {duet_text.decided_by(result)}", "  ", width)
    if any(cell.outcome is Outcome.REGRESSED for cell in verdict.cells):  # else it is the answers of another arm that differ
        lines += _suspects_text(result, width)
    lines += [f"  {title}: {text}" for title, text in _what_to_do(result, Path(run_directory))]
    return "\n".join(printable(line) for line in lines)


def _open(cell: CellVerdict) -> bool:
    """A suspect that nothing has cleared."""
    return cell.suspect and cell.delta is not None and cell.outcome is not Outcome.UNCHANGED


def _cell_text(result: CaseResult, cell: CellVerdict, width: int) -> list[str]:
    row = row_of(result, cell)
    note = "" if cell.decisive else " (shown, does not decide)"
    lines = [
        *_paragraphs(f"{row.metric}: {row.baseline} → {row.now}, {row.change}{note}", "  ", width),
        *_paragraphs(", ".join(row.certainty), "    ", width),
        *_paragraphs(f"runs {row.runs} (CV {wording.percent(cell.run_cv)})", "    ", width),
    ]
    for reason in cell.reasons:
        lines += _paragraphs(reason, "    ", width)
    return lines


def _suspects_text(result: CaseResult, width: int) -> list[str]:
    """What the arms of a duet differ in, then where to look first; without suspicions, all that differs from the baseline's record."""
    lines = []
    arms = duet_text.arm_changes(result)
    if result.duet is not None and result.duet.control_provenance:
        lines = _changes_text("differs from the control", arms) or ["  nothing that is recorded differs between the arms"]
    suspicions = suspicion_text.lines(result, recorded=not arms)
    if suspicions:
        lines.append("  look here first (suspicions, not findings):")
        return lines + [line for text in suspicions for line in _paragraphs(text, "    ", width)]
    changes = _changes_text("differs from the baseline, so suspect", provenance_changes(result))
    return lines or changes or ["  nothing that is recorded differs from the baseline's provenance"]


def _changes_text(title: str, changes: Sequence[tuple[str, str, str]]) -> list[str]:
    return [f"  {title}:", *(f"    {name}: {before} → {now}" for name, before, now in changes)] if changes else []


def _what_to_do(result: CaseResult, root: Path) -> list[tuple[str, str]]:
    steps = [("repeat", result.reproduce)]
    if result.verdict.outcome is not Outcome.INVALID:
        steps.append(("accept", result.accept))
    steps += [*_places("log", result.logs, root), *_places("requests", result.records, root)]
    return [(title, text) for title, text in steps if text]


def _places(title: str, paths: Sequence[str], root: Path) -> list[tuple[str, str]]:
    """A line a file; of many files a line a directory."""
    if len(paths) <= _FEW_FILES:
        return [(title, str(root / path)) for path in paths]
    directories = Counter(str((root / path).parent) for path in paths)
    return [(f"{title} ({number} files)", directory) for directory, number in directories.items()]


def summary(report: SessionReport, *, width: int, verbose: bool) -> list[Line]:
    """The end of a session: a shift of the environment, verdict, expired waivers, a line per case, the changes as a table, what explains
    them, counts, baselines, and last the report's path.
    """
    width = max(MIN_WIDTH, min(width, MAX_WIDTH))
    results = [withheld(result) for result in report.results]
    report = replace(report, results=tuple(results))
    worst = next(iter(tally(results)), None)
    style = "red" if not report.complete or worst is None else worst.colour
    lines = _shift_lines(report, width)
    lines += [Line(text, style) for text in wrapped(wording.verdict_sentence(report), width)]
    lines += [Line(text, "red") for name in report.missing for text in wrapped(f"missing: {name}", width, "  ")]
    lines += [Line(text) for text in wrapped(wording.resumed_sentence(report), width)]
    lines += _expired_lines(results, width)
    lines += _case_lines(results, width, verbose=verbose)
    lines += _parity_lines(results, width)
    shown = [
        row
        for row in rows(results, report.annotations)
        if row.cell.delta is not None and (verbose or row.cell.outcome is not Outcome.UNCHANGED)
    ]
    lines += _table(shown, width)
    for note in (*_duet_notes(results), annotations_text.survivors_note(report)):
        lines += [Line(text) for text in wrapped(note, width)]
    lines += _explanations(results, width)
    lines += [Line(text) for text in wrapped(certainty_text.underpowered_sentence(results), width)]
    took = f"{wording.counted(len(results), 'case')} in {wording.duration(report.duration_s)}: {wording.counts_sentence(results)}"
    lines += [Line(text, "bold") for text in wrapped(took, width)]
    lines += _baseline_lines(report, width)
    lines.append(Line(f"report: {RunDirectory(Path(report.run_directory)).report_html}"))
    return [Line(printable(line.text), line.style) for line in lines]


def _shift_lines(report: SessionReport, width: int) -> list[Line]:
    """That the whole session moved, with the failures grouped below it: what is no more than the shift, and what remains beyond."""
    found = annotations_text.shift(report)
    if found is None:
        return []
    lines = [Line(text, "yellow") for text in wrapped(found.sentence, width)]
    groups = (("no more than that", found.with_it), ("beyond it remain", found.beyond)) if found.with_it or found.beyond else ()
    texts = [f"{title}: {wording.named(names, _FEW_CASES) or 'none'}" for title, names in groups]
    lines += [Line(line) for text in (*texts, found.advice, found.note) for line in wrapped(text, width, "  ")]
    return lines


def _expired_lines(results: Sequence[CaseResult], width: int) -> list[Line]:
    found = waiver_text.expired_cases(results)
    texts = [f"{result.case.name}: {waiver_text.expired(waiver)}" for result, waiver in found]
    lines = [Line(line, "red") for text in texts for line in wrapped(text, width, "  ")]
    return lines + [Line(line) for line in wrapped(waiver_text.remedy(), width, "  ") if found]


def _duet_notes(results: Sequence[CaseResult]) -> list[str]:
    """Once for each control: with what the pairs compared, and how."""
    duets = [result.duet for result in results if result.duet is not None and result.duet.pairs]
    found = dict.fromkeys((duet.control or duet_text.NOT_NAMED, duet.layout) for duet in duets)
    return [f"Pairs were measured {duet_text.layout(layout)} against a control: {control}." for control, layout in found]


def _case_lines(results: Sequence[CaseResult], width: int, *, verbose: bool) -> list[Line]:
    """A line per case below its suite, or two where they do not fit."""
    listed = [
        result for result in results if verbose or len(results) <= _FEW_CASES or standing(result.verdict) != Standing(Outcome.UNCHANGED)
    ]
    texts = [("  " + printable(result.case.case_id), standing(result.verdict).text, *_numbers(result)) for result in listed]
    widths = [max(len(text) for text in column) for column in zip(*texts, strict=True)]
    one_line = sum(widths) + 2 * len(widths) <= width
    lines: list[Line] = []
    suite = None
    for result, text in zip(listed, texts, strict=True):
        style = standing(result.verdict).colour
        if result.case.suite != suite:
            suite = result.case.suite
            lines += [Line(part, "bold") for part in wrapped(suite, width)]
        if one_line:
            lines.append(Line(_columns(text, widths), style))
        else:
            lines += [Line(line, style) for line in wrapped(f"{text[0]}  {text[1]}".strip(), width, "  ")]
            lines += [Line(line) for line in wrapped(" · ".join(part for part in text[2:] if part), width, "    ")]
    if len(listed) < len(results):
        lines += [Line(text) for text in wrapped(f"{len(results) - len(listed)} more unchanged (-v lists them)", width)]
    return lines


def _parity_lines(results: Sequence[CaseResult], width: int) -> list[Line]:
    """A sentence for every arm that was held against its reference."""
    return [
        Line(text, Standing(result.parity.outcome).colour)
        for result in results
        if result.parity is not None
        for text in wrapped(parity_text.sentence(result), width)
    ]


def _numbers(result: CaseResult) -> tuple[str, ...]:
    """Throughput, ITL, TTFT and the run CV of ITL, as far as the case has them."""
    cells = {cell.cell: cell for cell in result.verdict.cells if cell.candidate is not None}
    texts = []
    for wanted in (THROUGHPUT, ITL, TTFT):
        cell = cells.get(wanted)
        name = "" if wanted == THROUGHPUT else f"{label(wanted).removesuffix(' p50')} "
        texts.append(name + wording.quantity(cell.candidate, unit_of(wanted.metric, {})) if cell else "")
    itl = cells.get(ITL)
    return (*texts, f"run CV of ITL {wording.percent(itl.run_cv)}" if itl and itl.run_cv is not None else "")


_TITLES = ("case", "metric", "baseline", "now", "Δ [90 % interval]", "MDE", "verdict")


def _table(shown: Sequence[Row], width: int) -> list[Line]:
    """As wide as it must be: with a column for the case, else grouped under the case, else stacked."""
    if not shown:
        return []
    one_suite = len({row.result.case.suite for row in shown}) == 1
    names = [row.result.case.case_id if one_suite else row.result.case.name for row in shown]
    texts = [
        (printable(name), row.metric, row.baseline, row.now, row.change, row.mde, row.verdict)
        for name, row in zip(names, shown, strict=True)
    ]
    widths = [max(len(text[column]) for text in [*texts, _TITLES]) for column in range(len(_TITLES))]
    full = sum(widths) + 2 * (len(widths) - 1)
    if full <= width:
        body = [Line(_columns(text, widths), row.standing.colour) for row, text in zip(shown, texts, strict=True)]
        return [Line(""), Line(_columns(_TITLES, widths), "bold"), *body, Line("")]
    grouped = full - widths[0] <= width
    lines = [Line("")]
    if grouped:
        lines.append(Line("  " + _columns(_TITLES[1:], widths[1:]), "bold"))
    before = None
    for row, text in zip(shown, texts, strict=True):
        if text[0] != before:
            lines += [Line(part, "bold") for part in wrapped(text[0], width)]
            before = text[0]
        style = row.standing.colour
        if grouped:
            lines.append(Line("  " + _columns(text[1:], widths[1:]), style))
        else:
            lines += [Line(part, style) for part in wrapped(f"{row.metric}  {row.verdict}", width, "  ")]
            lines += [Line(part) for part in wrapped(f"{row.baseline} → {row.now}", width, "    ")]
            lines += [Line(part) for part in wrapped(f"{row.change}, MDE {row.mde}", width, "    ")]
    return [*lines, Line("")]


def _explanations(results: Iterable[CaseResult], width: int) -> list[Line]:
    """Why each case whose outcome says nothing by itself has it, what would decide it, and why a regression is waived."""
    lines = []
    for result in results:
        verdict = result.verdict
        texts = [_shortened(reason) for reason in reason_text.explanation(verdict)]
        if verdict.waiver is not None:
            texts = [f"regressed, {waiver_text.waived(verdict.waiver)}"]
        if not texts:
            continue
        colour = standing(verdict).colour
        lines += [Line(part, colour) for part in wrapped(f"{result.case.name}: {texts[0]}", width)]
        lines += [Line(part, colour) for text in texts[1:] for part in wrapped(text, width, "  ")]
        lines += [Line(part) for part in wrapped(certainty_text.what_decides(result), width, "  ")]
    return lines


def _shortened(reason: str) -> str:
    """Of a quoted log the first line and the last, where the error stands; the failure text has all of it."""
    lines = [line for line in reason.splitlines() if line.strip()]
    return reason if len(lines) < 3 else f"{lines[0]} … {lines[-1]}"


def _baseline_lines(report: SessionReport, width: int) -> list[Line]:
    lines = [Line(f"baseline: {path}") for path in report.accepted]
    lines += [Line(part, "yellow") for text in report.refused for part in wrapped(f"no baseline written: {text}", width)]
    proposing = (Outcome.NO_BASELINE, Outcome.INCOMPARABLE, Outcome.IMPROVED)
    waiting = [result for result in report.results if result.verdict.outcome in proposing]
    if waiting and not report.accepted:
        proposals = RunDirectory(Path(report.run_directory)).proposals
        lines.append(Line(f"{wording.counted(len(waiting), 'proposal')} for baselines in {proposals}"))
        command = waiting[0].accept if len(waiting) == 1 else f"{report.command} --update-baselines"
        lines += [Line(f"accept: {command}")] if command else []
    return lines


def _columns(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()


def _paragraphs(text: str, indent: str, width: int) -> list[str]:
    """Sentences wrapped; the lines of a quoted log stay lines."""
    return [line for part in text.splitlines() for line in wrapped(part, width, indent)]
