"""What GitHub Actions shows beside a run: workflow commands that make annotations. At most nine, worst first.

GitHub shows ten errors and ten warnings of a step, and fifty of a run; what is beyond is dropped without a word. So the last one of ours
says how many more there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_dynperf.report import reason_text, wording
from pytest_dynperf.report.standing import standing
from pytest_dynperf.report.terminal import failure_text
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_dynperf.report.session_report import CaseResult, SessionReport

MOST = 9
_LINES, _CHARACTERS = 14, 3000
_WARNED = (Outcome.INCONCLUSIVE, Outcome.INCOMPARABLE, Outcome.NO_BASELINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """``level`` is ``error`` or ``warning``; ``file`` is relative to the root of the repository, empty where there is none."""

    level: str
    title: str
    message: str
    file: str = ""

    @property
    def command(self) -> str:
        """The line that GitHub reads. Names and messages cannot leave their place: ``%``, line ends, ``:`` and ``,`` are escaped."""
        properties = [f"{name}={_property(text)}" for name, text in (("file", self.file), ("title", self.title)) if text]
        return f"::{self.level} {','.join(properties)}::{_data(self.message)}"


def annotations_of(report: SessionReport, *, fails: Callable[[CaseResult], bool], prefix: str = "") -> list[Annotation]:
    """At most nine, the worst first. ``fails`` says which cases are errors; ``prefix`` is the path of pytest's root directory within the
    repository.
    """
    found = list(_all(report, fails, prefix))
    if len(found) <= MOST:
        return found
    rest = found[MOST - 1 :]
    errors = sum(one.level == "error" for one in rest)
    told = Annotation(
        level="error" if errors else "warning",
        title=f"{len(rest)} more",
        message=f"{wording.counted(errors, 'more error')} and {wording.counted(len(rest) - errors, 'more warning')}: see the step summary, "
        "or report.html among the artifacts.",
    )
    return [*found[: MOST - 1], told]


def _all(report: SessionReport, fails: Callable[[CaseResult], bool], prefix: str) -> Iterator[Annotation]:
    if not report.complete:
        yield Annotation(level="error", title="performance: session incomplete", message=wording.verdict_sentence(report))
    ordered = sorted(report.results, key=lambda result: (not fails(result), -standing(result.verdict).severity))
    for result in ordered:
        own = standing(result.verdict)
        if fails(result):
            text = failure_text(result, run_directory=report.run_directory)
            lines = text.splitlines()[1 : _LINES + 1] or text.splitlines()
            yield _about(result, "error", "\n".join(line.removeprefix("  ") for line in lines), prefix)
        elif own.waived or own.outcome in _WARNED:
            reasons = [reason.strip() for reason in reason_text.explanation(result.verdict)] or [f"{result.case.name} {own.predicate(1)}."]
            yield _about(result, "warning", reasons[0], prefix)


def _about(result: CaseResult, level: str, message: str, prefix: str) -> Annotation:
    file, separator, _ = result.node_id.partition("::")
    path = PurePosixPath(prefix) / file
    inside = separator and not path.is_absolute() and ".." not in path.parts
    return Annotation(
        level=level,
        title=f"{standing(result.verdict).text}: {result.case.name}",
        message=message if len(message) <= _CHARACTERS else f"{message[:_CHARACTERS]} …",
        file=str(path) if inside else "",
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
