"""Real tokenizers behind chat templates as they are in the wild, made locally."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import pytest

from pytest_dynperf.workload.prompt_calibrated import CalibratedPrompts
from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
from pytest_dynperf.workload.tokenizer import PromptTokenizer, load_tokenizer
from tests.fakes.model_directory import TEMPLATE, make_model_directory

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.workload.prompt import PromptSource

# Trims, says something of its own first, and stands in words around the message, as Llama 2 and Mistral do.
WORDY = (
    "{{ bos_token }}be kind\n\n{% for message in messages %}{% if message['role'] == 'user' %}[ASK] {{ message['content'] | trim }} [DONE]"
    "{% else %} {{ message['content'] | trim }}{{ eos_token }}{% endif %}{% endfor %}"
)


# Llama 2's own: no pieces before the merges, spaces become marks, and each text between special tokens gets one in front.
UNSPLIT: dict[str, object] = {
    "pre_tokenizer": None,
    "normalizer": {
        "type": "Sequence",
        "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}],
    },
}
KINDS: dict[str, tuple[Literal["byte level", "metaspace"], str, dict[str, object]]] = {
    "byte level": ("byte level", TEMPLATE, {}),
    "metaspace": ("metaspace", TEMPLATE, {}),
    "wordy": ("byte level", WORDY, {}),
    "unsplit": ("metaspace", WORDY, UNSPLIT),
}


def rewrite(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture(scope="session", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PromptTokenizer:
    spaces, template, changes = KINDS[request.param]
    directory = make_model_directory(tmp_path_factory.mktemp("model"), spaces=spaces)
    rewrite(directory / "tokenizer_config.json", chat_template=template)
    rewrite(directory / "tokenizer.json", **changes)
    return load_tokenizer(directory)


@pytest.fixture(scope="session")
def tokenized(tokenizer: PromptTokenizer) -> TokenizedPrompts:
    return TokenizedPrompts(tokenizer)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory of the plain kind; not to be written to."""
    return make_model_directory(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session", params=["tokenized", "calibrated"])
def source(request: pytest.FixtureRequest, model: Path) -> PromptSource:
    """Either source, for what must hold of both."""
    if request.param == "calibrated":
        return CalibratedPrompts(template_tokens=4, turn_tokens=4)
    return TokenizedPrompts(load_tokenizer(model))
