"""Arms held against their reference, in words: a sentence for the summary, lines for a failure, texts for the page's tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.report.standing import Standing
from pytest_dynperf.report.wording import ABSENT, counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dynperf.report.session_report import CaseResult
    from pytest_dynperf.verdict.arm_parity import ArmParity, Discordant, SubjectCounts
    from pytest_dynperf.verdict.parity import Nondeterminism, ParityVerdict
    from pytest_dynperf.verdict.texts import TextVerdict

_FEW = 5
"""Discordant items that a failure text names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityView:
    """One arm on the page: its texts by column, its subjects, and the items in which it differs. ``unnamed`` more differ."""

    result: CaseResult
    parity: ArmParity
    standing: Standing
    accuracy: tuple[str, ...]
    texts: tuple[str, ...]
    subjects: tuple[tuple[str, ...], ...]
    discordant: tuple[Discordant, ...]
    unnamed: int


ACCURACY_TITLES = ("Items", "Lost", "Gained", "Loss", "At most (95 %)", "Limit", "p", "Agreement", "Items needed", "Noise")
TEXT_TITLES = ("Texts", "Differing", "Identical", "Noise")
SUBJECT_TITLES = ("Subject", "Items", "Lost", "Gained", "Loss")


def views(results: Iterable[CaseResult]) -> list[ParityView]:
    """One for every arm that was held against another, worst first."""
    found = [
        ParityView(
            result=result,
            parity=parity,
            standing=Standing(parity.outcome),
            accuracy=_accuracy_cells(parity.accuracy),
            texts=_text_cells(parity.texts),
            subjects=tuple(map(_subject_cells, parity.subjects)) if len(parity.subjects) > 1 else (),
            discordant=parity.discordant,
            unnamed=parity.discordant_count - len(parity.discordant),
        )
        for result in results
        if (parity := result.parity) is not None
    ]
    return sorted(found, key=lambda view: -view.parity.outcome)


def sentence(result: CaseResult) -> str:
    """``parity of …-warm with …-off: unchanged, 3 lost and 1 gained of 500 items, loss 0.40 points, at most 0.93 (limit 1.00)``; empty
    where nothing was compared.
    """
    parity = result.parity
    if parity is None:
        return ""
    parts = [parity.outcome.text]
    if parity.accuracy is not None and parity.accuracy.loss is not None:
        parts.append(_accuracy_words(parity.accuracy))
    if parity.texts is not None and parity.texts.n:
        parts.append(f"{parity.texts.n - parity.texts.differing} of {counted(parity.texts.n, 'text')} the same")
    if len(parts) == 1:
        parts += parity.reasons[:1]
    return f"parity of {result.case.case_id} with {parity.reference}: {', '.join(parts)}"


def failure_lines(result: CaseResult) -> list[str]:
    """What the numbers are, and the first items in which the arms differ; empty without parity."""
    parity = result.parity
    if parity is None:
        return []
    lines = [sentence(result)]
    if parity.accuracy is not None and (noise := parity.accuracy.noise) is not None:
        lines.append(f"the reference measured once more differs from itself in {_noise(noise)}")
    lines += parity.notes
    for one in parity.discordant[:_FEW]:
        subject = f" ({one.subject})" if one.subject else ""
        lines.append(f"{what(one)}: {one.item}{subject}: reference {one.reference!r}, here {one.candidate!r}")
    more = parity.discordant_count - min(_FEW, len(parity.discordant))
    if more > 0:
        lines.append(f"{more} more differ; session.json and report.html name the first {len(parity.discordant)}")
    return lines


def what(one: Discordant) -> str:
    """``lost``, ``gained``, ``other text``."""
    return "other text" if one.kind == "text" else one.kind


def points(share: float | None) -> str:
    """A share of the items in points: ``0.40``; with its sign where it is a gain."""
    return ABSENT if share is None else f"{share * 100:.2f}".replace("-", "−")


def _accuracy_words(verdict: ParityVerdict) -> str:
    found = f"{verdict.losses} lost and {verdict.gains} gained of {counted(verdict.n, 'item')}"
    return f"{found}, loss {points(verdict.loss)} points, at most {points(verdict.upper_bound)} (limit {points(verdict.limit)})"


def _accuracy_cells(verdict: ParityVerdict | None) -> tuple[str, ...]:
    if verdict is None:
        return ()
    return (
        str(verdict.n),
        str(verdict.losses),
        str(verdict.gains),
        points(verdict.loss),
        points(verdict.upper_bound),
        points(verdict.limit),
        ABSENT if verdict.p_value is None else f"{verdict.p_value:.2g}",
        ABSENT if verdict.agreement is None or verdict.loss is None else f"{verdict.agreement:.2%}",
        ABSENT if verdict.n_needed is None else str(verdict.n_needed),
        ABSENT if verdict.noise is None else _noise(verdict.noise),
    )


def _text_cells(verdict: TextVerdict | None) -> tuple[str, ...]:
    if verdict is None:
        return ()
    return (
        str(verdict.n),
        str(verdict.differing),
        ABSENT if verdict.identical is None else f"{verdict.identical:.2%}",
        ABSENT if verdict.noise is None else _noise(verdict.noise),
    )


def _subject_cells(subject: SubjectCounts) -> tuple[str, ...]:
    return (subject.name, str(subject.n), str(subject.losses), str(subject.gains), points(subject.loss if subject.n else None))


def _noise(noise: Nondeterminism) -> str:
    return f"{noise.discordant} of {noise.n}"
