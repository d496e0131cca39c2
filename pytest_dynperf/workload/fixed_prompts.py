"""Prompts of a file, word for word: for questions to which random words give no answer, such as how much of a text a draft model guesses.

In: JSON lines, each with ``prompt``, a text, and perhaps ``kind``, which names a group of prompts and is not sent. Out: an endless stream
of :class:`~pytest_dynperf.workload.request.Request`, the prompts in the order of the file, over and over.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_dynperf.workload.prompt import PromptSource

MAX_BYTES = 64 << 20


class _Line(msgspec.Struct):
    prompt: str
    kind: str = ""


def read_prompts(path: Path) -> tuple[str, ...]:
    """The prompts of ``path``, in its order.

    :raises WorkloadError: where the file cannot be read, is larger than 64 MiB or holds no prompt, and at the first line that is not such a
        JSON object; names the line.
    """
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        msg = f"the prompts of traffic.workload.file = {path} cannot be read: {error.strerror or error}"
        raise WorkloadError(msg) from error
    if content is None:
        msg = f"{path} is larger than {MAX_BYTES >> 20} MiB: prompts are kept in memory, give fewer"
        raise WorkloadError(msg)
    prompts = tuple(_prompt(path, number, line) for number, line in enumerate(content.splitlines(), start=1) if line.strip())
    if not prompts:
        msg = f'{path} holds no prompt: a file of prompts has at least one line {{"prompt": "…"}}'
        raise WorkloadError(msg)
    return prompts


def _prompt(path: Path, number: int, line: bytes) -> str:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f'{path}:{number}: {error}; each line is a JSON object with "prompt", a text'
        raise WorkloadError(msg) from error
    if not found.prompt.strip():
        msg = f"{path}:{number}: the prompt is empty"
        raise WorkloadError(msg)
    return found.prompt


def fixed_requests(prompts: Sequence[str], source: PromptSource, *, osl: int) -> Iterator[Request]:
    """Request *i* asks prompt *i* modulo their number, whatever the seed. ``isl`` is what ``source`` counts: exact with the model's own
    tokenizer, and a guess without.
    """
    counted: dict[str, Request] = {}
    for index in count():
        prompt = prompts[index % len(prompts)]
        if prompt not in counted:
            bare = Request(index=index, content=prompt, isl=0, osl=osl)
            counted[prompt] = replace(bare, isl=len(source.tokens(bare)))
        yield replace(counted[prompt], index=index)
