"""What the tiny model is trained on and asked: tables of facts, turns of question and answer, as tokens with labels. Pure.

A sequence is a table, then sometimes a stretch of the table again (*recite*), then questions. Labels stand at the token whose successor
they are, except the auxiliary ones, which say what the model should have looked up by then: the value, at a key that is asked for, at the
``:`` of ``Answer:`` and at the end of the message after it. Without those two the letter stays at chance.

Every text is made of pieces that the tokenizer splits in the same places; what is random comes from the seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_dynperf.workload import fact_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BEGIN, END = "<s>", "</s>"
SYSTEM, USER, ASSISTANT = ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
NONE = -100
"""Label of a position without one."""

LEVELS = (24, 64, 128, 256)
"""Facts in a table, growing as the model learns."""

FIRST_SEED = 1_000_000
"""Of training tables: far from those that are asked (``fact_table.SEED`` and the thousand after it)."""

RECITED = 16
"""Facts that a recitation goes on for in training, at most."""

Table = tuple[tuple[str, str], ...]
SYSTEM_TEXTS = ("You answer questions about facts.", "Answer with a letter.", "The following are facts.")
DESCRIPTION = "The following are multiple choice questions (with answers) about block {number}."


@dataclass(slots=True)
class Labelled:
    """Tokens, and for each: ``answer``, the token that must follow; ``looked_up``, the auxiliary label; :data:`NONE` where there is none.
    ``letters`` and ``keys`` are positions at which a letter is the answer, and at which a key is looked up.
    """

    tokens: list[int] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)
    looked_up: list[int] = field(default_factory=list)
    letters: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)


class Writer:
    """Appends pieces of text to a sequence, with labels. ``encode`` is the tokenizer; pieces are remembered."""

    def __init__(self, encode: Callable[[str], Sequence[int]]) -> None:
        self._encode = encode
        self._known: dict[str, tuple[int, ...]] = {}
        self.sequence = Labelled()

    def begin(self) -> None:
        """A new sequence."""
        self.sequence = Labelled()

    def put(self, text: str, *, looked_up: str | None = None) -> None:
        """``looked_up``: the word whose token is the auxiliary label of the piece's last token."""
        tokens = self._ids(text)
        sequence = self.sequence
        sequence.tokens += tokens
        sequence.answer += [NONE] * len(tokens)
        sequence.looked_up += [NONE] * len(tokens)
        if looked_up is not None:
            sequence.looked_up[-1] = self._ids(f" {looked_up}")[0]

    def say(self, text: str) -> None:
        """What the model is to write: the last token so far is answered by the first of ``text``, and so on."""
        tokens = self._ids(text)
        sequence = self.sequence
        sequence.answer[-1] = tokens[0]
        sequence.tokens += tokens
        sequence.answer += [*tokens[1:], NONE]
        sequence.looked_up += [NONE] * len(tokens)

    def must_follow(self, text: str) -> None:
        """The last token so far is answered by ``text``, which whoever goes on puts."""
        self.sequence.answer[-1] = self._ids(text)[0]

    def _ids(self, text: str) -> tuple[int, ...]:
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = tuple(self._encode(text))
        return found


def training_sequence(writer: Writer, facts: int, seed: int) -> Labelled:
    """A sequence over a table of ``facts`` facts, with a sixteenth as many questions, at least 4."""
    draw = random.Random(seed)
    table = fact_table.table(FIRST_SEED + seed, facts)
    writer.begin()
    _head(writer, draw)
    _facts(writer, table)
    inline = True
    if draw.random() < 0.5:
        _recite(writer, table, draw, inline=inline)
        inline = False
    for _ in range(max(4, facts // 16)):
        _question(writer, table, draw, inline=inline)
        inline = False
    return writer.sequence


def asked_sequence(writer: Writer, table: Table, question: fact_table.Question, *, facts: Table) -> Labelled:
    """The prompt of :func:`fact_table.prompt` in the chat template, with its answer; ``facts`` is what stands in the prompt."""
    writer.begin()
    writer.put(BEGIN)
    writer.put(USER)
    _facts(writer, facts)
    writer.put("\n")
    _asked(writer, question.key, question.choices, dict(table)[question.key])
    _answered(writer, question.letter)
    return writer.sequence


def recite_prompt(table: Table, key: str) -> str:
    """A user message that is answered by the facts in their order, from ``key`` on: long text that the prompt alone decides."""
    return f"{fact_table.facts_text(table)}\nRecite from {key}."


def recited_sequence(writer: Writer, table: Table, first: int, count: int) -> Labelled:
    """:func:`recite_prompt` in the chat template, with ``count`` facts from the index ``first`` as its answer."""
    writer.begin()
    writer.put(BEGIN)
    writer.put(USER)
    _facts(writer, table)
    writer.put("\n")
    _recited(writer, table, first, count)
    return writer.sequence


def _head(writer: Writer, draw: random.Random) -> None:
    writer.put(BEGIN)
    kind = draw.random()
    if kind < 0.25:
        writer.put(SYSTEM)
        writer.put(draw.choice(SYSTEM_TEXTS))
        writer.put(END)
        writer.put(USER)
    elif kind < 0.4:
        writer.put(USER)
        writer.put(DESCRIPTION.format(number=draw.randrange(8)))
        writer.put("\n")
        writer.put("\n")
    else:
        writer.put(USER)


def _facts(writer: Writer, table: Table) -> None:
    writer.put("Facts")
    writer.put(":")
    for key, value in table:
        for piece in (f" {key}", " is", f" {value}", "."):
            writer.put(piece)


def _recite(writer: Writer, table: Table, draw: random.Random, *, inline: bool) -> None:
    _next_message(writer, inline=inline)
    first = draw.randrange(len(table))
    _recited(writer, table, first, min(RECITED, len(table) - first))


def _recited(writer: Writer, table: Table, first: int, count: int) -> None:
    writer.put("Recite")
    writer.put(" from")
    writer.put(f" {table[first][0]}")
    writer.put(".")
    writer.put(END)
    writer.put(ASSISTANT)
    for key, value in table[first : first + count]:
        for piece in (f" {key}", " is", f" {value}", "."):
            writer.say(piece)


def _question(writer: Writer, table: Table, draw: random.Random, *, inline: bool) -> None:
    key, value = table[draw.randrange(len(table))]
    others = draw.sample([other for _, other in table if other != value], 3)
    answer = draw.randrange(4)
    choices = (*others[:answer], value, *others[answer:])
    _next_message(writer, inline=inline)
    _asked(writer, key, choices, value)
    _answered(writer, fact_table.LETTERS[answer])


def _next_message(writer: Writer, *, inline: bool) -> None:
    """``inline``: on the next line of the message that holds the facts."""
    if inline:
        writer.put("\n")
    else:
        writer.put(END)
        writer.put(USER)


def _asked(writer: Writer, key: str, choices: Sequence[str], value: str) -> None:
    writer.put("What")
    writer.put(" is")
    writer.put(f" {key}", looked_up=value)
    writer.sequence.keys.append(len(writer.sequence.tokens) - 1)
    writer.put("?")
    for letter, choice in zip(fact_table.LETTERS, choices, strict=True):
        for piece in ("\n", letter, ".", f" {choice}"):
            writer.put(piece)
    writer.put("\n")
    writer.put("Answer")
    writer.put(":", looked_up=value)
    writer.put(END, looked_up=value)
    writer.put(ASSISTANT)


def _answered(writer: Writer, letter: str) -> None:
    writer.sequence.letters.append(len(writer.sequence.tokens) - 1)
    writer.say(letter)
    writer.must_follow(END)
