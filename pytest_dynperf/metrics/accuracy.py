"""Whether answers to four-choice questions are right: graded from the texts that request records keep.

How a letter is read (:func:`letter_of`), from the first line of an answer, spaces around it removed:

1. the line begins with one of the letters A to D, perhaps behind signs such as ``(`` or ``**``, and the line ends there or one of
   ``. , : ; ) ] * "`` follows: ``B``, ``(B)``, ``B.``, ``**B**``, ``B. Paris``;
2. else, the first such letter behind ``answer``, ``answer is``, ``option`` or ``choice``: ``The answer is B.``, ``Answer: (B)``;
3. else there is no answer that can be read. A small letter counts where it is all that the line holds: ``b``, ``b)``.

``A dog`` is no answer, and neither is ``Paris``: an article is no letter, and what a choice says is not looked for.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.definition import Kind, MetricDefinition
from pytest_dynperf.quantity import Absent, Direction, Unit

if TYPE_CHECKING:
    from pytest_dynperf.metrics.definition import RunFacts
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.observation.request_record import RequestRecord

_END = r"(?=[.,:;)\]*\"]|\s*$)"
LETTER_PATTERN = (
    rf"^\W*([A-D]){_END}"
    r"|^\W*([a-d])\W*$"
    rf"|(?i:\b(?:answer|option|choice)(?:\s+is)?)\s*[:\-]?\s*[(\[*\"]*([A-D]){_END}"
)
"""The rule as a regular expression over the first line; whichever of its groups matched is the letter."""

_letter = re.compile(LETTER_PATTERN)


def letter_of(text: str) -> str | None:
    """``A`` to ``D`` by the rule of this module; ``None`` where none can be read."""
    line = text.split("\n", 1)[0].strip()
    found = _letter.search(line)
    return None if found is None else next(group for group in found.groups() if group).upper()


def graded(record: RequestRecord) -> bool | None:
    """Whether the answer of a request with an item is right; ``None`` where no letter can be read, where the request failed, and for a
    request that has no item.
    """
    if record.error is not None or record.expected is None or record.answer is None:
        return None
    letter = letter_of(record.answer)
    return None if letter is None else letter == record.expected


def right_of_asked(recording: Recording, _facts: RunFacts) -> tuple[float, float] | Absent:
    """Measured requests whose answer is right, and measured requests with an item. Absent where there is none, or an item was asked
    twice: it would count twice.
    """
    asked = _asked(recording)
    if isinstance(asked, Absent):
        return asked
    return float(sum(graded(record) is True for record in asked)), float(len(asked))


def unreadable_of_answered(recording: Recording, _facts: RunFacts) -> tuple[float, float] | Absent:
    """Answers in which no letter can be read, and answers: failed requests are in neither."""
    asked = _asked(recording)
    if isinstance(asked, Absent):
        return asked
    answered = [record for record in asked if record.error is None]
    if not answered:
        return Absent(f"none of {len(asked)} questions was answered: every request failed")
    return float(sum(graded(record) is None for record in answered)), float(len(answered))


def accuracy(recording: Recording, facts: RunFacts) -> float | Absent:
    """Right / asked."""
    return _share(right_of_asked(recording, facts))


def unreadable_answer_rate(recording: Recording, facts: RunFacts) -> float | Absent:
    """Unreadable / answered."""
    return _share(unreadable_of_answered(recording, facts))


def by_subject(recording: Recording) -> dict[str, tuple[int, int]] | Absent:
    """Right and asked for each subject, sorted by name; in the set made by code a subject is a block of the KV cache. Absent as for
    :func:`right_of_asked`.
    """
    asked = _asked(recording)
    if isinstance(asked, Absent):
        return asked
    whole = Counter(record.subject or "" for record in asked)
    right = Counter(record.subject or "" for record in asked if graded(record) is True)
    return {subject: (right[subject], whole[subject]) for subject in sorted(whole)}


def _asked(recording: Recording) -> tuple[RequestRecord, ...] | Absent:
    asked = tuple(record for record in recording.measured if record.item is not None)
    if not asked:
        return Absent("no question was asked: the workload has no items with a known answer")
    item, times = Counter(record.item for record in asked).most_common(1)[0]
    if times > 1:
        return Absent(f"item {item} was asked {times} times in one run: each must be asked once")
    return asked


def _share(parts: tuple[float, float] | Absent) -> float | Absent:
    return parts if isinstance(parts, Absent) else parts[0] / parts[1]


ACCURACY = MetricDefinition(
    id="accuracy.v1",
    unit=Unit.RATIO,
    direction=Direction.HIGHER_IS_BETTER,
    formula="right answers / questions asked; an answer without a readable letter and a failed request are not right",
    source="load generator: texts of the answers, and the answers of the question set",
    # Log odds: one point around one half. Which answers are right is decided by the prompts; only ties between letters move.
    prior_sd=0.04,
    kind=Kind.RATE,
    value=accuracy,
    parts=right_of_asked,
)
UNREADABLE_ANSWER_RATE = MetricDefinition(
    id="unreadable_answer_rate.v1",
    unit=Unit.RATIO,
    direction=Direction.LOWER_IS_BETTER,
    formula="answers in which no letter A to D can be read / questions answered; failed requests are in neither",
    source="load generator: texts of the answers",
    prior_sd=0.2,
    kind=Kind.RATE,
    value=unreadable_answer_rate,
    parts=unreadable_of_answered,
)

DEFINITIONS = (ACCURACY, UNREADABLE_ANSWER_RATE)
