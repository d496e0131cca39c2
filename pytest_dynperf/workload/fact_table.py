"""Four-choice questions that only a reader of the prompt can answer, in the schema of ``cais/mmlu``, made by code.

In: seeds and sizes. Out: pseudo-words, tables of facts, questions, prompts, rows. Pure, standard library alone, and the same text on every
machine and Python: order comes from SHA-256, not from :mod:`random`. A model that was trained on other tables of the same words answers
them from the prompt; without this very table it can only guess (25 %). So what a cache hands back for the facts decides the answer.

A table of 256 facts is about 1,024 tokens where every `` word`` is one token (`` semim is gesan.``: four tokens a fact), so 32 facts fill a
128-token block of a KV cache, and a question's subject names the block in which its fact stands: ``block-0`` to ``block-7``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from itertools import product, zip_longest
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

_T = TypeVar("_T", str, int)

WORDS = 320
"""Keys, and as many values."""

FACT_TOKENS = 4
"""`` key``, `` is``, `` value``, ``.``: where the tokenizer has each word with its space as one token."""

BLOCK_TOKENS = 128
"""Block of vLLM's KV cache on a CPU, and the chunk that LMCache is given there."""

FACTS_PER_BLOCK = BLOCK_TOKENS // FACT_TOKENS

ASKED_PER_BLOCK = 28
"""Only the first 28 of a block's 32 facts are asked for: up to 16 tokens may stand before the facts (template, ``Facts:``) without moving
an asked fact into the next block.
"""

TABLES = 8
TABLE_FACTS = 256
PER_BLOCK = 8
"""The local set: 8 tables of 256 facts, 8 questions to each of their 8 blocks: 512 items."""

SEED = 20_000
"""Of the local set's first table. A model that is to be asked this set must not be trained on the tables of seeds 20,000 to 20,999."""

LETTERS = "ABCD"

_CONSONANTS = "bdfghjklmnprstvz"
_VOWELS = "aeiou"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``What is KEY?``. ``answer`` is the index of the right one among four ``choices``, all of them values of the same table; ``block`` is
    the number of the 128-token block, from 0, in which the fact stands, ``fact`` its index in the table.
    """

    key: str
    choices: tuple[str, str, str, str]
    answer: int
    block: int
    fact: int

    @property
    def subject(self) -> str:
        """``block-3``: the subject in the schema of MMLU."""
        return f"block-{self.block}"

    @property
    def letter(self) -> str:
        """``A`` to ``D``."""
        return LETTERS[self.answer]


@cache
def words() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """320 keys and 320 values: consonant-vowel-consonant-vowel-consonant, lower case, no word in both."""
    every = _ordered("words", ["".join(letters) for letters in product(_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS)])
    return tuple(every[:WORDS]), tuple(every[WORDS : 2 * WORDS])


@cache
def table(seed: int, facts: int) -> tuple[tuple[str, str], ...]:
    """``facts`` pairs (key, value), no key and no value twice.

    :raises ValueError: for fewer than 4 facts, which give no four choices, or more than there are keys.
    """
    if not len(LETTERS) <= facts <= WORDS:
        msg = f"a table holds {len(LETTERS)} to {WORDS} facts, asked were {facts}"
        raise ValueError(msg)
    keys, values = words()
    chosen_keys = _ordered(f"table {seed} keys", keys)[:facts]
    chosen_values = _ordered(f"table {seed} values", values)[:facts]
    return tuple(zip(chosen_keys, chosen_values, strict=True))


def facts_text(table: tuple[tuple[str, str], ...]) -> str:
    """``Facts: semim is gesan. tarar is fabup.``: what all prompts of a table begin with."""
    return "Facts:" + "".join(f" {key} is {value}." for key, value in table)


def question_text(table: tuple[tuple[str, str], ...], question: Question) -> str:
    """The ``question`` of a row of MMLU: all facts on one line, then ``What is fepaz?``."""
    return f"{facts_text(table)}\nWhat is {question.key}?"


def prompt(table: tuple[tuple[str, str], ...], question: Question) -> str:
    """The whole user message, in the form of generative MMLU without header and without examples: the text of
    :func:`question_text`, a line for each choice (``A. gesan``), and ``Answer:``. The answer expected is one letter.
    """
    choices = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, question.choices, strict=True))
    return f"{question_text(table, question)}\n{choices}Answer:"


def questions(table: tuple[tuple[str, str], ...], seed: int, *, per_block: int = PER_BLOCK) -> tuple[Question, ...]:
    """``per_block`` questions to each whole block of the table, the blocks in turn: the first question to every block, then the second.

    A table that fills no block has one, ``block-0``, and is asked as often as it has facts at most. Right answers are spread over A to D.

    :raises ValueError: for more questions to a block than may be asked (28).
    """
    if not 1 <= per_block <= ASKED_PER_BLOCK:
        msg = f"a block is asked 1 to {ASKED_PER_BLOCK} times, asked were {per_block}"
        raise ValueError(msg)
    blocks = max(1, len(table) // FACTS_PER_BLOCK)
    asked = [_ordered(f"questions {seed} block {block}", _indexes(block, len(table)))[:per_block] for block in range(blocks)]
    turns = zip_longest(*asked)
    return tuple(_question(table, index, block, seed) for turn in turns for block, index in enumerate(turn) if index is not None)


def rows(*, tables: int = TABLES, facts: int = TABLE_FACTS, per_block: int = PER_BLOCK, seed: int = SEED) -> tuple[dict[str, object], ...]:
    """The local set in the schema of ``cais/mmlu``: ``question``, ``subject``, ``choices``, ``answer``. 512 rows as it stands, 2 MB.

    Neighbours are of different tables, so that a device cache which holds fewer tables than there are never helps: the tables take turns.

    :raises ValueError: as :func:`table` and :func:`questions`.
    """
    made = [table(seed + number, facts) for number in range(tables)]
    asked = [questions(each, seed + number, per_block=per_block) for number, each in enumerate(made)]
    return tuple(
        {
            "question": question_text(each, question),
            "subject": question.subject,
            "choices": list(question.choices),
            "answer": question.answer,
        }
        for turn in zip(*asked, strict=True)
        for each, question in zip(made, turn, strict=True)
    )


def _indexes(block: int, facts: int) -> range:
    first = block * FACTS_PER_BLOCK
    return range(first, min(first + ASKED_PER_BLOCK, facts))


def _question(table: tuple[tuple[str, str], ...], index: int, block: int, seed: int) -> Question:
    key, value = table[index]
    name = f"choices {seed} {index}"
    others = _ordered(name, [other for _, other in table if other != value])[: len(LETTERS) - 1]
    answer = hashlib.sha256(f"{name} answer".encode()).digest()[0] % len(LETTERS)
    placed = [*others[:answer], value, *others[answer:]]
    first, second, third, fourth = placed
    return Question(key=key, choices=(first, second, third, fourth), answer=answer, block=block, fact=index)


def _ordered(salt: str, items: Iterable[_T]) -> list[_T]:
    return sorted(items, key=lambda item: hashlib.sha256(f"{salt}|{item}".encode()).digest())
