"""A session in GitHub's Markdown: for step summaries, pull requests and whoever reads text. Verdict first, worst first, the rest folded.

A text that is too long is not cut somewhere: parts are left out from the end, where the least important ones stand, and it says so. GitHub
drops a step summary above 1 MiB whole, and refuses a comment above 65,536 characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_dynperf.report import annotations_text, certainty_text, duet_text, reason_text, waiver_text, wording
from pytest_dynperf.report.rows import Row, provenance_changes, rows
from pytest_dynperf.report.session_report import withheld
from pytest_dynperf.report.standing import standing, tally
from pytest_dynperf.report.terminal import failure_text
from pytest_dynperf.report.wrapping import printable
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_dynperf.report.session_report import CaseResult, SessionReport

STEP_SUMMARY_BYTES = 900_000
"""What a step summary may hold: GitHub drops one above 1 MiB whole."""

COMMENT_BYTES = 65_000
"""What the text of a pull request or a comment may hold: GitHub refuses more than 65,536 characters."""

_OPEN_CARDS = 3
_ROOM = 400
"""Bytes kept for the sentence that says what was left out."""

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#$&])")
_LINKED = re.compile(r"([@#]|://|(?<=\bwww)\.)")
_ZERO_WIDTH = "\u200b"
_TITLES = ("", "case", "metric", "baseline", "now", "Δ [90 % interval]", "MDE", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Pieces of which as many are shown as fit; ``noun`` counts the others. ``begin`` and ``end`` frame them where there are any."""

    noun: str
    pieces: Sequence[str]
    begin: str = ""
    end: str = ""


def markdown(report: SessionReport, *, limit_bytes: int = STEP_SUMMARY_BYTES) -> str:
    """The whole text, in UTF-8 at most ``limit_bytes`` long, but never without its verdict. What comes from outside is shown as text:
    markup, mentions and links in it do nothing.
    """
    results = [withheld(result) for result in report.results]
    report = replace(report, results=tuple(results))
    text, left_out = _head(report), []
    room = limit_bytes - len(text.encode()) - _ROOM
    for part in _parts(report):
        room -= len((part.begin + part.end).encode())
        shown = []
        for piece in part.pieces:
            room -= len(piece.encode())
            if room < 0:
                break
            shown.append(piece)
        if shown:
            text += part.begin + "".join(shown) + part.end
        if len(shown) < len(part.pieces):
            left_out.append(wording.counted(len(part.pieces) - len(shown), part.noun))
            break
    if left_out:
        text += f"\n{left_out[0]} and what would follow are left out: a text of this size would not be shown. `report.html` has all.\n"
    return text


def _head(report: SessionReport) -> str:
    worst = next(iter(tally(report.results)), None)
    symbol = worst.symbol if worst is not None and report.complete else "!"
    counts = wording.counts_sentence(report.results)
    facts = [
        f"platform {code(report.platform)}{' (simulated timing)' if report.simulated else ''}",
        f"{wording.counted(len(report.results), 'case')} in {wording.duration(report.duration_s)}: {counts}",
        f"session {code(f'{report.stamp}-{report.session_id}')}",
        *(f"{escaped(name)} {escaped(version)}" for name, version in sorted(report.versions.items())),
    ]
    return f"## {symbol} {escaped(wording.verdict_sentence(report))}\n\n{' · '.join(facts)}\n"


def _parts(report: SessionReport) -> Iterator[_Part]:
    """The most important first."""
    yield _Part(noun="remark", pieces=[f"\n{text}\n" for text in _remarks(report)])
    found = [row for row in rows(report.results, report.annotations) if row.cell.delta is not None]
    changed = [row for row in found if row.cell.outcome is not Outcome.UNCHANGED]
    yield _table("changed metric", changed, report)
    notes = [annotations_text.survivors_note(report), certainty_text.underpowered_sentence(report.results)]
    yield _Part(noun="note", pieces=[f"\n{escaped(note)}\n" for note in notes if note])
    yield _Part(noun="case in detail", pieces=list(_cards(report)))
    others = [_other(result) for result in report.results if not standing(result.verdict).fails and reason_text.explanation(result.verdict)]
    yield _Part(noun="explanation", pieces=others, begin="\n")
    unchanged = [row for row in found if row.cell.outcome is Outcome.UNCHANGED]
    title = wording.counted(len(unchanged), "unchanged metric")
    table = _table("unchanged metric", unchanged, report)
    yield replace(table, begin=f"\n<details><summary>{title}</summary>\n{table.begin}", end=f"{table.end}\n</details>\n")
    yield _Part(
        noun="change of the environment",
        pieces=[f"| {code(name)} | {code(before)} | {code(now)} |\n" for name, before, now in _changes(report.results)],
        begin="\n<details><summary>what differs from the baselines' environment</summary>\n\n| name | baseline | now |\n|---|---|---|\n",
        end="\n</details>\n",
    )


def _remarks(report: SessionReport) -> Iterator[str]:
    """What stands before all figures: what is missing, what everything shares, what has run out."""
    yield from (f"- missing: {code(name)}" for name in report.missing)
    if resumed := wording.resumed_sentence(report):
        yield escaped(resumed)
    if (shift := annotations_text.shift(report)) is not None:
        yield f"**{escaped(shift.sentence)}** {escaped(shift.advice)} {escaped(shift.note)}"
    expired = waiver_text.expired_cases(report.results)
    yield from (f"- {code(result.case.name)}: {escaped(waiver_text.expired(waiver))}" for result, waiver in expired)
    if expired:
        yield escaped(waiver_text.remedy())
    yield from (f"Pairs were measured {escaped(text)}." for text in _controls(report.results))


def _controls(results: Iterable[CaseResult]) -> list[str]:
    duets = [result.duet for result in results if result.duet is not None and result.duet.pairs]
    found = dict.fromkeys((duet.control or duet_text.NOT_NAMED, duet.layout) for duet in duets)
    return [f"{duet_text.layout(layout)} against a control: {control}" for control, layout in found]


def _table(noun: str, shown: Sequence[Row], report: SessionReport) -> _Part:
    one_suite = len({result.case.suite for result in report.results}) == 1
    head = f"\n| {' | '.join(_TITLES)} |\n|{'---|' * len(_TITLES)}\n"
    return _Part(noun=noun, pieces=[_line(row, one_suite=one_suite) for row in shown], begin=head)


def _line(row: Row, *, one_suite: bool) -> str:
    name = row.result.case.case_id if one_suite else row.result.case.name
    texts = (row.metric, row.baseline, row.now, row.change, row.mde, row.verdict)
    return f"| {row.standing.symbol} | {code(name)} | {' | '.join(map(escaped, texts))} |\n"


def _cards(report: SessionReport) -> Iterator[str]:
    """What fails or is waived, in the words of the failure text; the worst few unfolded."""
    found = [result for result in report.results if standing(result.verdict).fails or standing(result.verdict).waived]
    for place, result in enumerate(sorted(found, key=lambda result: -standing(result.verdict).severity)):
        own = standing(result.verdict)
        text = failure_text(result, run_directory=report.run_directory)
        opened = " open" if place < _OPEN_CARDS else ""
        summary = f"{own.symbol} {html_text(own.text)}: <code>{html_text(result.case.name)}</code>"
        yield f"\n<details{opened}><summary>{summary}</summary>\n\n{fenced(text)}\n</details>\n"


def _other(result: CaseResult) -> str:
    texts = [reason.splitlines()[0] for reason in reason_text.explanation(result.verdict) if reason.strip()]
    decides = certainty_text.what_decides(result)
    said = " ".join(f"{text[0].upper()}{text[1:].rstrip('.')}." for text in (*texts, decides) if text)
    return f"- {code(result.case.name)} {escaped(standing(result.verdict).text)}: {escaped(said)}\n"


def _changes(results: Iterable[CaseResult]) -> list[tuple[str, str, str]]:
    return sorted({change for result in results for change in provenance_changes(result)})


# ---- text from outside


def escaped(text: str) -> str:
    """``text`` on one line, with nothing in it that Markdown, or GitHub with mentions, references and links, would act on."""
    line = _SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))
    return _LINKED.sub(rf"\1{_ZERO_WIDTH}", line)


def code(text: str) -> str:
    """``text`` on one line as code, also within a table."""
    line = printable(" ".join(text.split())).replace("|", r"\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def fenced(text: str) -> str:
    """``text`` as a block of code, whatever backticks are in it."""
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence}text\n{text}\n{fence}\n"


def html_text(text: str) -> str:
    """``text`` within an HTML element of a Markdown text, where backslashes do not escape."""
    line = printable(" ".join(text.split()))
    return "".join(character if character.isalnum() or character in " -_/.,()" else f"&#{ord(character)};" for character in line)
