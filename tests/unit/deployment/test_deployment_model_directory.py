from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pytest_dynperf.deployment.model_directory import FILES, MOCKER_TOKENS, make_model, model_digest
from pytest_dynperf.errors import DeploymentError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("cache"))


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_byte_identical_in_another_process(model: Path, tmp_path: Path) -> None:
    call = f"make_model(Path({str(tmp_path)!r}))"
    program = f"from pathlib import Path\nfrom pytest_dynperf.deployment.model_directory import make_model\n{call}"
    environment = os.environ | {"PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)

    other = tmp_path / model.name

    assert set(contents(model)) == set(FILES)
    assert contents(other) == contents(model)
    assert model_digest(other) == model_digest(model)


def test_digest_sees_one_changed_byte(tmp_path: Path) -> None:
    made = make_model(tmp_path)
    before = model_digest(made)
    path = made / "config.json"
    path.write_text(path.read_text().replace("131072", "131073"))

    assert model_digest(made) != before


def test_reused_when_complete_and_nothing_left_beside(tmp_path: Path) -> None:
    first = make_model(tmp_path)
    stamp = (first / "tokenizer.json").stat().st_mtime_ns

    assert make_model(tmp_path) == first
    assert (first / "tokenizer.json").stat().st_mtime_ns == stamp
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


@pytest.mark.parametrize("damage", ["missing", "torn", "empty directory"])
def test_made_again_when_damaged(tmp_path: Path, model: Path, damage: str) -> None:
    made = make_model(tmp_path)
    if damage == "torn":
        (made / "tokenizer.json").write_bytes((made / "tokenizer.json").read_bytes()[:1000])
    else:
        for name in FILES if damage == "empty directory" else FILES[:1]:
            (made / name).unlink()

    assert contents(make_model(tmp_path)) == contents(model)
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


def test_a_cache_that_cannot_be_written_is_an_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DeploymentError, match=r"cannot make the mocker's model directory in .*/file"):
        make_model(tmp_path / "file")


def test_chat_template_tokenises_with_special_tokens_whole(model: Path) -> None:
    template = json.loads((model / "tokenizer_config.json").read_text())["chat_template"]
    text = (
        jinja2.Environment(autoescape=False)
        .from_string(template)
        .render(messages=[{"role": "user", "content": "hi"}], add_generation_prompt=True)
    )
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))

    tokens = tokenizer.encode(text, add_special_tokens=False).tokens

    assert text == "<s><|user|>hi</s><|assistant|>"
    assert tokens[:2] == ["<s>", "<|user|>"]
    assert tokens[-2:] == ["</s>", "<|assistant|>"]


def test_special_tokens_have_the_ids_that_the_configuration_names(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))

    assert tokenizer.token_to_id("<s>") == config["bos_token_id"]
    assert tokenizer.token_to_id("</s>") == config["eos_token_id"]
    assert tokenizer.get_vocab_size() == config["vocab_size"]


@settings(max_examples=50)
@given(st.text())
def test_any_text_survives(model: Path, text: str) -> None:
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))

    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text


def test_every_token_that_the_mocker_draws_has_printable_text(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(make_model(tmp_path) / "tokenizer.json"))
    texts = [tokenizer.decode([number]) for number in MOCKER_TOKENS]
    assert len(texts) == 1000
    assert all(text.isascii() and text.strip() for text in texts)
