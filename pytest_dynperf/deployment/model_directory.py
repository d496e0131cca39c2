"""A model directory that the mocker can serve: a real tokenizer and chat template, no weights.

Made from a seed, byte for byte the same each time (with one version of ``tokenizers``), because its tokenizer decides what a prompt of
N tokens is.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "2"
"""Part of the directory's name; grows with every change of what is written."""

FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
BEGIN, END, ROLES = "<s>", "</s>", ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CONTEXT_TOKENS = 131072
VOCABULARY = 2048
MOCKER_TOKENS = range(1000, 2000)
"""Ids that ``dynamo.mocker`` draws its output from (2,560 draws seen, version 1.4.2). An id beyond the vocabulary has no text and so no
chunk: with 1,536 tokens nearly half of the chunks were missing, and a TTFT was that of the first token that happened to have text.
"""

# Llama-3.1-8B's dimensions: the mocker derives KV bytes per token from them (32 layers x 2 x 8 heads x 128 x 2 bytes = 128 KiB).
_CONFIG: Mapping[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": CONTEXT_TOKENS,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": VOCABULARY,
}


def make_model(directory: Path) -> Path:
    """The model directory inside the cache ``directory``; made (0.3 s, 100 KB) when it is not there complete, else reused.

    Written beside and renamed: another process that does the same at the same time does no harm.

    :raises DeploymentError: when ``directory`` cannot be written.
    """
    final = directory.resolve() / f"mocker-model-{VERSION}"
    if _complete(final):
        return final
    try:
        directory.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=directory.resolve()))
        try:
            for name, text in _texts().items():
                (temporary / name).write_text(text, encoding="utf-8")
            temporary.chmod(0o755)
            _put(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        msg = f"cannot make the mocker's model directory in {directory}: {error.strerror or error}. Choose another cache directory."
        raise DeploymentError(msg) from error
    return final


def model_digest(directory: Path) -> str:
    """SHA-256 over names and contents of the directory's files, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _complete(directory: Path) -> bool:
    """Whether every file is there with its whole content; a torn or edited one is not reused."""
    try:
        return all(isinstance(json.loads((directory / name).read_bytes()), dict) for name in FILES)
    except (OSError, ValueError):
        return False


def _put(temporary: Path, final: Path) -> None:
    try:
        temporary.rename(final)
    except OSError:
        if _complete(final):
            return  # somebody else was faster, with the same bytes
        aside = Path(tempfile.mkdtemp(prefix=f".{final.name}.broken.", dir=final.parent))
        os.replace(final, aside / "was")  # noqa: PTH105 -- moves a directory that is not ours to trust out of the way in one step
        shutil.rmtree(aside, ignore_errors=True)
        temporary.rename(final)


def _texts() -> dict[str, str]:
    tokenizer_config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": BEGIN,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_max_length": CONTEXT_TOKENS,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    generation = {"bos_token_id": 0, "eos_token_id": 1}
    return {
        "config.json": _json(_CONFIG),
        "generation_config.json": _json(generation),
        "tokenizer.json": _tokenizer(),
        "tokenizer_config.json": _json(tokenizer_config),
    }


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _tokenizer() -> str:
    """Byte-level BPE: every byte is a token, so any text has tokens; merges learnt from pseudo-words make common words short."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    seeded = random.Random(20261121)
    syllables = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]
    words = ["".join(seeded.choices(syllables, k=seeded.randint(1, 4))) for _ in range(3000)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BEGIN, END, *ROLES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((" ".join(seeded.choices(words, k=20)) for _ in range(2000)), trainer)
    return str(tokenizer.to_str(pretty=True)) + "\n"
