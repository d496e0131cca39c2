"""Four-choice questions in the schema of ``cais/mmlu``: each asked once, word for word as lm-eval's generative MMLU asks it.

In: items (:mod:`~pytest_dynperf.workload.mmlu_files`, or the local set of :mod:`~pytest_dynperf.workload.fact_table`). Out: prompts, and a
stream of :class:`~pytest_dynperf.workload.request.Request` that ends after the last item. Nothing is drawn: the order and the texts are the
same whatever the seed, so that answers of two servers can be paired by item.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.fact_table import LETTERS, rows
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_dynperf.workload.prompt import PromptSource

SHOTS = 5
"""Examples before a question, as MMLU is reported."""

STOP = ("</s>", "\n")
"""Ends an answer: those of lm-eval's generative MMLU."""

MAX_REPEATED_SHARE = 0.01
"""Items that stand there twice are not independent. The real set may hold a few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question. ``id`` is its subject and its place in it, ``astronomy/17``, and does not change where others are left out; ``answer``
    is the index of the right one of four ``choices``.
    """

    id: str
    subject: str
    question: str
    choices: tuple[str, str, str, str]
    answer: int

    @property
    def letter(self) -> str:
        """``A`` to ``D``."""
        return LETTERS[self.answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """``items`` in the order in which they are asked; ``examples``: those of each subject that stand before its questions, with their
    answers. ``header``: whether a prompt begins with a line that names the subject, as MMLU does.
    """

    items: tuple[Item, ...]
    examples: Mapping[str, tuple[Item, ...]]
    header: bool

    @property
    def subjects(self) -> tuple[str, ...]:
        """Of the items, sorted."""
        return tuple(sorted({item.subject for item in self.items}))


def item_of(row: Mapping[str, object], place: int, *, subject: str = "") -> Item:
    """The item of a row with ``question``, ``subject``, ``choices`` and ``answer``; ``place`` counts from 0 within its subject.
    ``subject``: where the row has none.

    :raises ValueError: says which of them is not what it must be.
    """
    question, choices, answer = (row.get(name) for name in ("question", "choices", "answer"))
    named = row.get("subject") or subject
    if not isinstance(named, str) or not named.strip() or "/" in named:
        msg = f"subject is {named!r}, and must be a text without a slash"
        raise ValueError(msg)
    if not isinstance(question, str) or not question.strip():
        msg = f"question is {question!r}, and must be a text that is not empty"
        raise ValueError(msg)
    if not isinstance(choices, list | tuple) or len(choices) != len(LETTERS) or not all(isinstance(choice, str) for choice in choices):
        msg = f"choices are {choices!r}, and must be four texts"
        raise ValueError(msg)
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(LETTERS):
        msg = f"answer is {answer!r}, and must be the index of the right choice: 0, 1, 2 or 3"
        raise ValueError(msg)
    first, second, third, fourth = map(str, choices)
    return Item(id=f"{named}/{place}", subject=named, question=question, choices=(first, second, third, fourth), answer=answer)


def numbered(found: Iterable[Mapping[str, object]], *, subject: str = "") -> tuple[Item, ...]:
    """Items of rows, each numbered within its subject, in their order.

    :raises ValueError: as :func:`item_of`; begins with the number of the row, from 1.
    """
    items: list[Item] = []
    places: Counter[str] = Counter()
    for number, row in enumerate(found, start=1):
        try:
            item = item_of(row, 0, subject=subject)
        except ValueError as error:
            msg = f"row {number}: {error}"
            raise ValueError(msg) from error
        items.append(replace(item, id=f"{item.subject}/{places[item.subject]}"))
        places[item.subject] += 1
    return tuple(items)


def local_set() -> QuestionSet:
    """The set that is made by code: 512 questions about eight tables of facts, without header and examples."""
    return QuestionSet(items=numbered(rows()), examples={}, header=False)


def chosen(found: QuestionSet, *, subjects: Sequence[str] = (), limit: int | None = None, where: str) -> QuestionSet:
    """The items of ``subjects`` (all, where none is named), at most ``limit`` of each: its first ones, in the order of the set.

    :raises WorkloadError: where nothing is left, a subject is not there, or more than 1 % of the items stand there twice.
    """
    known = set(found.subjects)
    if missing := [subject for subject in subjects if subject not in known]:
        msg = f"{where} has no subject {missing[0]!r}; it has {', '.join(sorted(known)) or 'none'}"
        raise WorkloadError(msg)
    asked: Counter[str] = Counter()
    items = []
    for item in found.items:
        asked[item.subject] += 1
        if (not subjects or item.subject in subjects) and (limit is None or asked[item.subject] <= limit):
            items.append(item)
    if not items:
        msg = f"{where} holds no question to ask"
        raise WorkloadError(msg)
    repeated = Counter((item.subject, item.question, item.choices) for item in items)
    twice = [key for key, times in repeated.items() if times > 1]
    if len(twice) > MAX_REPEATED_SHARE * len(items):
        msg = (
            f"{len(twice)} of {len(items)} questions of {where} stand there more than once (the first, of {twice[0][0]}: "
            f"{twice[0][1][:80]!r}): answers to the same question are no independent pairs; remove them"
        )
        raise WorkloadError(msg)
    return replace(found, items=tuple(items))


def dealt(found: QuestionSet, *, part: int, size: int) -> QuestionSet:
    """The ``part``-th ``size`` items in the order of the set, ``part`` from 0.

    :raises WorkloadError: where the set does not hold so many.
    """
    items = found.items[part * size : (part + 1) * size]
    if len(items) < size:
        msg = (
            f"run {part + 1} is to ask {size} questions that no run before it has asked, and {len(items)} are left of {len(found.items)}: "
            "ask for fewer in traffic.requests, or set traffic.workload.deal = false"
        )
        raise WorkloadError(msg)
    return replace(found, items=items)


def question_of(item: Item) -> str:
    """``QUESTION``, ``A. …`` to ``D. …`` and ``Answer:``, each on its line."""
    choices = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, item.choices, strict=True))
    return f"{item.question.strip()}\n{choices}Answer:"


def header_of(subject: str) -> str:
    """What MMLU puts before the questions of a subject, an empty line included."""
    return f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"


def prompt_of(item: Item, found: QuestionSet, *, shots: int) -> str:
    """The one user message, or the text of a completion: header, ``shots`` examples with their answers, the question.

    :raises WorkloadError: where the subject has fewer examples.
    """
    examples = found.examples.get(item.subject, ())
    if len(examples) < shots:
        msg = (
            f"{item.subject} has {len(examples)} examples, and traffic.workload.shots asks for {shots}: "
            "give them as dev.jsonl beside test.jsonl, or set traffic.workload.shots = 0"
        )
        raise WorkloadError(msg)
    answered = "".join(f"{question_of(example)} {example.letter}\n\n" for example in examples[:shots])
    return f"{header_of(item.subject) if found.header else ''}{answered}{question_of(item)}"


def item_requests(
    found: QuestionSet, warmup: Iterator[Request], source: PromptSource, *, warmup_count: int, shots: int, osl: int
) -> Iterator[Request]:
    """First ``warmup_count`` requests of ``warmup``, which ask something else, so that no item is asked twice; then each item once, and
    the end. ``isl`` is what ``source`` counts: exact with the model's own tokenizer, and a guess without.

    :raises WorkloadError: with the first request, where a subject has too few examples.
    """
    for subject in found.subjects:
        prompt_of(next(item for item in found.items if item.subject == subject), found, shots=shots)
    yield from islice(warmup, warmup_count)
    for index, item in enumerate(found.items, start=warmup_count):
        bare = Request(
            index=index,
            content=prompt_of(item, found, shots=shots),
            isl=0,
            osl=osl,
            item=item.id,
            subject=item.subject,
            expected=item.letter,
            stop=STOP,
        )
        yield replace(bare, isl=len(source.tokens(bare)))
