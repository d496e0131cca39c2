"""What the tiny model is trained on and asked; where it lies, and when it counts. Training itself needs an engine's environment."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.installation.logged_process import Account
from pytest_dynperf.installation.model_place import MARKER, NOISES, SCHEMA, made_model, noisy_model, tiny_model_directory, unmade
from pytest_dynperf.installation.tiny_model import _put, make_tiny_model, model_directories
from pytest_dynperf.installation.tiny_model_sequences import (
    FIRST_SEED,
    NONE,
    Labelled,
    Writer,
    asked_sequence,
    recite_prompt,
    recited_sequence,
    training_sequence,
)
from pytest_dynperf.installation.tiny_model_vocabulary import TEMPLATE, make_tokenizer, write_vocabulary
from pytest_dynperf.installation.visitor import visiting
from pytest_dynperf.workload import fact_table

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WORDS_OF_VERSION_1 = "31bf564ebfb77302"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer()


@pytest.fixture(scope="module")
def writer(tokenizer: Tokenizer) -> Writer:
    return Writer(lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids))


def text_of(tokenizer: Tokenizer, sequence: Labelled) -> str:
    return str(tokenizer.decode(sequence.tokens, skip_special_tokens=False))


def test_the_model_knows_the_words_that_it_is_asked_about() -> None:
    """Other words need another model: a new VERSION in model_place, and this digest."""
    assert hashlib.sha256(repr(fact_table.words()).encode()).hexdigest()[:16] == WORDS_OF_VERSION_1


@pytest.mark.parametrize("seed", range(12))
def test_pieces_are_the_tokens_of_the_text(tokenizer: Tokenizer, writer: Writer, seed: int) -> None:
    sequence = training_sequence(writer, 32, seed)
    assert tokenizer.encode(text_of(tokenizer, sequence), add_special_tokens=False).ids == sequence.tokens
    assert len(sequence.tokens) == len(sequence.answer) == len(sequence.looked_up)


def test_labels_are_what_the_table_says(tokenizer: Tokenizer, writer: Writer) -> None:
    sequence = training_sequence(writer, 32, 5)
    known = dict(fact_table.table(FIRST_SEED + 5, 32))
    words = [tokenizer.decode([token], skip_special_tokens=False).strip() for token in sequence.tokens]
    for key in sequence.keys:
        assert tokenizer.decode([sequence.looked_up[key]]).strip() == known[words[key]]
    for letter, key in zip(sequence.letters, sequence.keys, strict=True):
        right = tokenizer.decode([sequence.answer[letter]])
        at = next(place for place in range(key, letter) if words[place] == right and words[place + 1] == ".")
        assert words[at + 2] == known[words[key]]
        assert words[letter + 1] == right
    assert len(sequence.letters) == 4


def test_training_is_the_same_each_time_and_never_on_what_is_asked(writer: Writer) -> None:
    assert training_sequence(writer, 24, 3) == training_sequence(writer, 24, 3)
    assert training_sequence(writer, 24, 3) != training_sequence(writer, 24, 4)
    assert FIRST_SEED > fact_table.SEED + 1000


def test_what_is_asked_is_the_prompt_in_the_chat_template(tokenizer: Tokenizer, writer: Writer) -> None:
    table, other = fact_table.table(1, 64), fact_table.table(2, 64)
    question = fact_table.questions(table, 1)[3]
    sequence = asked_sequence(writer, table, question, facts=table)
    assert text_of(tokenizer, sequence) == f"<s><|user|>{fact_table.prompt(table, question)}</s><|assistant|>{question.letter}"
    assert [tokenizer.decode([label], skip_special_tokens=False) for label in sequence.answer if label != NONE] == [question.letter, "</s>"]
    blind = asked_sequence(writer, table, question, facts=other)
    assert blind.answer[-2:] == sequence.answer[-2:]
    assert fact_table.facts_text(other) in text_of(tokenizer, blind)


def test_a_recitation_is_the_table_from_a_key_on(tokenizer: Tokenizer, writer: Writer) -> None:
    table = fact_table.table(1, 64)
    sequence = recited_sequence(writer, table, 10, 3)
    said = "".join(f" {key} is {value}." for key, value in table[10:13])
    assert text_of(tokenizer, sequence) == f"<s><|user|>{recite_prompt(table, table[10][0])}</s><|assistant|>{said}"
    assert tokenizer.decode([label for label in sequence.answer if label != NONE]) == said


def test_the_vocabulary_is_written_with_its_template(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_vocabulary(tokenizer, tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"] == TEMPLATE
    assert (
        json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"] == tokenizer.token_to_id("</s>") == 1
    )
    assert tokenizer.get_vocab_size() < 2000


def test_a_model_counts_when_weights_and_marker_are_there(tmp_path: Path) -> None:
    finished = tmp_path / "finished"
    for name in ("model", *(f"noise-{noise}" for noise in NOISES)):
        (finished / name).mkdir(parents=True)
        (finished / name / "model.safetensors").write_text(name, encoding="utf-8")
    places = [tiny_model_directory(tmp_path, noise) for noise in (*NOISES, 0)]
    places[0].mkdir()
    (places[0] / "old").touch()
    assert [made_model(place) for place in places] == [None] * 3
    assert unmade(tmp_path) == (*NOISES, 0)
    _put(finished, tmp_path, {"steps": 7})
    assert unmade(tmp_path) == ()
    model = tiny_model_directory(tmp_path)
    assert made_model(model) == {"schema": SCHEMA, "noise_percent": 0, "made": (made_model(model) or {})["made"], "steps": 7}
    assert (noisy_model(model, 5) / "model.safetensors").read_text(encoding="utf-8") == "noise-5"
    assert not (noisy_model(model, 5) / "old").exists()
    assert noisy_model(model, 0) == model
    assert model_directories(tmp_path) == [model, noisy_model(model, 10), noisy_model(model, 5)]
    earlier = noisy_model(model, 2)
    earlier.mkdir()
    assert set(model_directories(tmp_path)) == {model, earlier, noisy_model(model, 5), noisy_model(model, 10)}
    (model / "model.safetensors").unlink()
    assert made_model(model) is None
    (noisy_model(model, 5) / MARKER).write_text("{", encoding="utf-8")
    assert made_model(noisy_model(model, 5)) is None
    assert unmade(tmp_path) == (5, 0)


def test_a_draft_that_is_lacking_is_made_of_the_model_that_is_there(tmp_path: Path) -> None:
    """A stand-in for the program that adds the noise: the model keeps its weights, and nothing is trained."""
    for noise in (0, NOISES[1]):
        place = tiny_model_directory(tmp_path, noise)
        place.mkdir()
        (place / "model.safetensors").write_text("kept", encoding="utf-8")
        (place / MARKER).write_text(json.dumps({"schema": SCHEMA, "noise_percent": noise, "steps": 7}), encoding="utf-8")
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != --work ]; do shift; done\n'
        f'test "$3 $4" = "--drafts-of {tiny_model_directory(tmp_path)}" || exit 9\n'
        f'mkdir -p "$2/finished/noise-{NOISES[0]}" && cd "$2/finished" && echo made > noise-{NOISES[0]}/model.safetensors\n'
        "echo '{\"steps\": 7}' > result.json\n",
        encoding="utf-8",
    )
    python.chmod(0o755)
    said: list[str] = []
    make_tiny_model(python, tmp_path, Account(said.append))
    assert unmade(tmp_path) == ()
    assert (tiny_model_directory(tmp_path) / "model.safetensors").read_text(encoding="utf-8") == "kept"
    assert (made_model(tiny_model_directory(tmp_path, NOISES[0])) or {})["steps"] == 7
    assert not any("training" in line for line in said)


def test_a_program_of_ours_runs_where_this_package_is_not(tmp_path: Path) -> None:
    program = visiting(Path(sys.executable), "installation.tiny_model_training", "--help")
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "No module named 'pytest_dynperf" not in done.stderr
    assert "--work" in done.stdout or "No module named 'torch'" in done.stderr
