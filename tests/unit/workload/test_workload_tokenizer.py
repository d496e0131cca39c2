"""Tokens are counted as a server counts them: rendered chat, special tokens written by the template."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.tokenizer import load_text_tokenizer, load_tokenizer
from tests.fakes.model_directory import TEMPLATE, add_begin, make_model_directory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model_directory(tmp_path / "model")


def configure(model: Path, **values: object) -> None:
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_template_is_counted(model: Path) -> None:
    tokenizer = load_tokenizer(model)
    assert tokenizer.render("baba") == "<s><|user|>baba</s><|assistant|>"
    assert tokenizer.count("") == 4
    words = tokenizer.words()
    assert tokenizer.count(f" {words[0]} {words[1]}") == 6


def test_against_the_library_that_servers_use(model: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers, which comes with ai-dynamo")
    theirs = transformers.AutoTokenizer.from_pretrained(str(model))
    ours = load_tokenizer(model)
    for content in ("", "baba dodo", " x  y\n", "ünï 😀 </s> <|user|>", "{{ 1 }}"):
        for history in ((), (("dodo", "keke"), (content, " ünï"))):
            messages = [{"role": role, "content": text} for turn in history for role, text in zip(("user", "assistant"), turn, strict=True)]
            messages.append({"role": "user", "content": content})
            assert ours.render(content, history) == theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            assert ours.ids(content, history) == theirs(ours.render(content, history), add_special_tokens=False)["input_ids"]


def test_text_completions_have_no_template(model: Path) -> None:
    chat = load_tokenizer(model).count("baba")
    add_begin(model)
    bare, begun = (load_text_tokenizer(model, special_tokens=special) for special in (False, True))
    assert bare.render("baba") == begun.render("baba") == "baba"
    assert begun.ids("baba") == [0, *bare.ids("baba")]
    assert load_tokenizer(model).count("baba") == chat, "in a chat the template writes it"
    with pytest.raises(WorkloadError, match=r"text completions .* have no turns"):
        bare.count("baba", (("dodo", "keke"),))


def test_text_completions_need_no_template(model: Path) -> None:
    (model / "tokenizer_config.json").unlink()
    assert load_text_tokenizer(model, special_tokens=True).count("") == 0


@pytest.mark.parametrize("special", [False, True])
def test_prompts_of_text_completions_are_exact(model: Path, special: bool) -> None:
    add_begin(model)
    source = TokenizedPrompts(load_text_tokenizer(model, special_tokens=special))
    assert source.overhead() == source.lead() == 1 + special
    for isl in (3, 50, 500):
        content = source.assemble((), isl, random.Random(isl))
        assert len(source.tokens(Request(index=0, content=content, isl=isl, osl=1))) == isl


def test_words_are_one_token(model: Path) -> None:
    tokenizer = load_tokenizer(model)
    words = tokenizer.words()
    assert len(words) > 100
    assert all(word.isascii() and word.isalpha() for word in words)
    anchored = tokenizer.count("x")
    assert all(tokenizer.count(f"x {word}") == anchored + 1 for word in words)


@pytest.mark.parametrize(
    "template",
    [
        [{"name": "tool_use", "template": "no"}, {"name": "default", "template": TEMPLATE}],
        TEMPLATE.replace("<|assistant|>", "{% generation %}<|assistant|>{% endgeneration %}"),
        TEMPLATE.replace("<|assistant|>", "{{ strftime_now('<|assistant|>') }}"),
        "{%- for m in messages %}\n    {% if loop.first %}\n" + TEMPLATE + "{% endif %}\n    {% break %}\n{% endfor %}",
        TEMPLATE + "{% if messages | length != 1 %}{{ raise_exception('one message') }}{% endif %}",
        TEMPLATE + "{% if ([1] | tojson) != '[1]' or tools or documents %}x{% endif %}",
    ],
)
def test_templates_as_they_are_in_the_wild(model: Path, template: object) -> None:
    configure(model, chat_template=template)
    assert load_tokenizer(model).render("baba").strip() == "<s><|user|>baba</s><|assistant|>"


def test_a_template_file_wins(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{{ messages[0].content }}{{ eos_token }}")
    assert load_tokenizer(model).render("baba") == "baba</s>"


def test_special_tokens_written_as_objects(model: Path) -> None:
    configure(model, eos_token={"content": "</s>", "lstrip": False}, bos_token=None)
    assert load_tokenizer(model).render("baba") == "<|user|>baba</s><|assistant|>"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda model: (model / "tokenizer.json").unlink(), "tokenizer.json does not exist"),
        (lambda model: (model / "tokenizer.json").write_text("{}"), "cannot be read as a tokenizer"),
        (lambda model: (model / "tokenizer_config.json").unlink(), "no chat template"),
        (lambda model: (model / "tokenizer_config.json").write_text("{"), "tokenizer_config.json cannot be read"),
        (lambda model: (model / "tokenizer_config.json").write_text("[]"), "no JSON object"),
        (lambda model: configure(model, chat_template=[{"name": "tool_use", "template": "x"}]), "no chat template"),
        (lambda model: configure(model, chat_template="{% if %}"), "not valid"),
        (lambda model: (model / "chat_template.jinja").write_bytes(b"\xff\xfe"), "chat_template.jinja cannot be read"),
    ],
)
def test_bad_directories_are_named(model: Path, spoil: object, message: str) -> None:
    assert callable(spoil)
    spoil(model)
    with pytest.raises(WorkloadError, match=message) as caught:
        load_tokenizer(model)
    assert str(model) in str(caught.value)


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('only tools') }}", "{{ messages.append(1) }}", "{{ ''.__class__.__mro__ }}", "{{ a.b.c }}"]
)
def test_templates_that_refuse_or_reach_too_far(model: Path, template: str) -> None:
    configure(model, chat_template=template)
    with pytest.raises(WorkloadError, match="refuses a single user message"):
        load_tokenizer(model).count("x")
    with pytest.raises(WorkloadError, match="refuses a history of 1 turns"):
        load_tokenizer(model).count("x", (("a", "b"),))
