"""The tiny model's tokenizer and the files beside its weights: a word of the fact table with its space is one token.

Its alphabet is ASCII: with all bytes a model that writes at random writes invalid UTF-8, which swallows chunks of a stream.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dynperf.installation.tiny_model_sequences import BEGIN, DESCRIPTION, END, ROLES, SYSTEM_TEXTS
from pytest_dynperf.workload import fact_table

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

CONTEXT_TOKENS = 4096
LARGEST = 4096
"""Entries of the vocabulary at most; about 1,400 are needed."""

TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def make_tokenizer() -> Tokenizer:
    """Byte-level BPE over the words; 0.1 s.

    :raises ValueError: when a word is not one token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    keys, values = fact_table.words()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    printable = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    blank_and_line = ["Ġ", "Ċ"]
    trainer = trainers.BpeTrainer(
        vocab_size=LARGEST,
        min_frequency=2,
        special_tokens=[BEGIN, END, *ROLES],
        initial_alphabet=[*printable, *blank_and_line],
        show_progress=False,
    )
    texts = ("Facts:", "What is", "Answer:", "Recite from", *SYSTEM_TEXTS, DESCRIPTION)
    tokenizer.train_from_iterator([f" {word}" for word in (*keys, *values)] * 2 + [*texts] * 2, trainer)
    split = [word for word in (*keys, *values) if len(tokenizer.encode(f" {word}", add_special_tokens=False).ids) != 1]
    if split:
        msg = f"words of the fact table that are not one token: {split[:5]} and {max(0, len(split) - 5)} more"
        raise ValueError(msg)
    return tokenizer


def write_vocabulary(tokenizer: Tokenizer, directory: Path) -> None:
    """``tokenizer.json``, ``tokenizer_config.json`` with the chat template, ``generation_config.json``."""
    settings = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": BEGIN,
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_max_length": CONTEXT_TOKENS,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (directory / "tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    _write(directory / "tokenizer_config.json", settings)
    _write(directory / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1})


def _write(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
