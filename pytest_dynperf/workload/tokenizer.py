"""How many tokens a server will count for a prompt: the model's own tokenizer behind the model's own chat template.

In: a model directory in the layout of Hugging Face. Out: :class:`PromptTokenizer`. Reads files, opens no socket, downloads nothing.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.prompt import ANCHOR, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jinja2 import Template

    from pytest_dynperf.workload.prompt import History

# Hugging Face's own tag, which marks what an assistant said; it produces nothing, and an empty `if` keeps its whitespace control.
_GENERATION_TAGS = (
    (re.compile(r"({%-?\s*)generation(\s*-?%})"), r"\1if true\2"),
    (re.compile(r"({%-?\s*)endgeneration(\s*-?%})"), r"\1endif\2"),
)


class PromptTokenizer:
    """The tokenizer of one model and, for chat, its template. Made by :func:`load_tokenizer`."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        directory: Path,
        *,
        template: Template | None = None,
        names: Mapping[str, str] | None = None,
        adds_special_tokens: bool = False,
    ) -> None:
        """``template`` of ``None``: text completions. ``names``: what a template calls the special tokens, and their texts."""
        self._tokenizer = tokenizer
        self._template = template
        self._names = dict(names or {})
        self._adds_special_tokens = adds_special_tokens
        self.directory = directory

    def render(self, content: str, history: History = ()) -> str:
        """The text that a server feeds to its tokenizer for a user message of ``content`` after ``history``, ready for the assistant's
        turn. Of a text completion, ``content`` itself.

        :raises WorkloadError: when the template refuses; for a history where there is no chat.
        """
        if self._template is None:
            if history:
                msg = "text completions (/v1/completions) have no turns: a conversation needs the chat API"
                raise WorkloadError(msg)
            return content
        turns = [{"role": role, "content": text} for turn in history for role, text in zip(("user", "assistant"), turn, strict=True)]
        try:
            return self._template.render(
                messages=[*turns, {"role": "user", "content": content}],
                add_generation_prompt=True,
                tools=None,
                documents=None,
                **self._names,
            )
        except TemplateError as error:
            asked = f"a history of {len(history)} turns" if history else "a single user message"
            msg = f"the chat template in {self.directory} refuses {asked}: {error}"
            raise WorkloadError(msg) from error

    def ids(self, content: str, history: History = ()) -> list[int]:
        """Token ids of the whole prompt. A chat template writes the special tokens, so the tokenizer adds none (as vLLM and Dynamo do).

        :raises WorkloadError: as :meth:`render`.
        """
        # The batch of one is for its `fast`, which computes no offsets: a third less time.
        text = self.render(content, history)
        ids: list[int] = self._tokenizer.encode_batch_fast([text], add_special_tokens=self._adds_special_tokens)[0].ids
        return ids

    def count(self, content: str, history: History = ()) -> int:
        """Tokens of the whole prompt.

        :raises WorkloadError: as :meth:`render`.
        """
        return len(self.ids(content, history))

    def words(self) -> tuple[str, ...]:
        """Words of ASCII letters that are exactly one token where a space stands before them, in order of their token id.

        Costs a few microseconds per entry of the vocabulary, about a second for 128,000.
        """
        entries = sorted(self._tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda entry: entry[1])
        # The two marks of a leading space: byte-level BPE and SentencePiece.
        candidates = [
            (token[1:], number) for token, number in entries if token[:1] in {"Ġ", "▁"} and token[1:].isascii() and token[1:].isalpha()
        ]
        anchor = self._batch([ANCHOR])[0]
        encoded = self._batch([text_of([word]) for word, _ in candidates])
        return tuple(word for (word, number), ids in zip(candidates, encoded, strict=True) if ids == [*anchor, number])

    def _batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def load_tokenizer(directory: Path) -> PromptTokenizer:
    """For chat, of the model in ``directory``: ``tokenizer.json``, ``tokenizer_config.json`` and, where there is one,
    ``chat_template.jinja`` (which wins, as in Hugging Face's libraries).

    :raises WorkloadError: when a file is missing or cannot be used; names it.
    """
    tokenizer = _tokenizer(directory)
    configuration = _configuration(directory / "tokenizer_config.json")
    return PromptTokenizer(tokenizer, directory, template=_template(directory, configuration), names=_special_tokens(configuration))


def load_text_tokenizer(directory: Path, *, special_tokens: bool) -> PromptTokenizer:
    """For text completions: ``tokenizer.json`` alone. Where ``special_tokens``, it puts around the text what the file says, such as BOS:
    vLLM's server has it do so, Dynamo's (1.4.2) has not.

    :raises WorkloadError: when the file is missing or cannot be used.
    """
    return PromptTokenizer(_tokenizer(directory), directory, adds_special_tokens=special_tokens)


def _tokenizer(directory: Path) -> Tokenizer:
    tokenizer_file = directory / "tokenizer.json"
    if not tokenizer_file.is_file():
        msg = f"{tokenizer_file} does not exist. Give the directory of the served model, as Hugging Face lays it out."
        raise WorkloadError(msg)
    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # the Rust library raises nothing narrower
        msg = f"{tokenizer_file} cannot be read as a tokenizer: {error}"
        raise WorkloadError(msg) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _template(directory: Path, configuration: Mapping[str, object]) -> Template:
    source = _template_source(directory, configuration)
    for pattern, replacement in _GENERATION_TAGS:
        source = pattern.sub(replacement, source)
    try:
        return _environment().from_string(source)
    except TemplateError as error:
        msg = f"the chat template in {directory} is not valid: {error}"
        raise WorkloadError(msg) from error


def _configuration(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        configuration = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {error}"
        raise WorkloadError(msg) from error
    if not isinstance(configuration, dict):
        msg = f"{path} holds no JSON object"
        raise WorkloadError(msg)
    return configuration


def _template_source(directory: Path, configuration: Mapping[str, object]) -> str:
    own_file = directory / "chat_template.jinja"
    if own_file.is_file():
        try:
            return own_file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            msg = f"{own_file} cannot be read: {error}"
            raise WorkloadError(msg) from error
    template = configuration.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    if not isinstance(template, str):
        msg = (
            f"no chat template in {directory}: neither chat_template.jinja nor a `chat_template` (a text, or a list with one named "
            f"'default') in tokenizer_config.json. A base model cannot be asked through /v1/chat/completions."
        )
        raise WorkloadError(msg)
    return template


def _special_tokens(configuration: Mapping[str, object]) -> dict[str, str]:
    found = {"bos_token": "", "eos_token": ""}
    for name, value in configuration.items():
        text = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            found[name] = text
    return found


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(value: object, indent: int | None = None) -> str:
    # Jinja's own filter escapes for HTML; templates mean plain JSON.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)
