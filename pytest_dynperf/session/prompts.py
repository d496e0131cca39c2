"""Where prompts come from: the model's own tokenizer, or a calibration by the server's usage counts where there is none."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.model_directory import make_model
from pytest_dynperf.deployment.readiness import complete_once
from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.session.launching import model_directory
from pytest_dynperf.workload.prompt_calibrated import CALIBRATION_HISTORY, calibrate, calibration_prompt
from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.tokenizer import load_text_tokenizer, load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.scenario.traffic import Workload
    from pytest_dynperf.session.plan import Settings
    from pytest_dynperf.workload.prompt import History, PromptSource

_SHORT, _LONG = 32, 160
_PROBE_S = 60.0
_ANSWERED: dict[tuple[object, ...], PromptSource] = {}
"""What servers have been asked already. By their representation: an endpoint's extra body may hold what has no hash."""


def prompt_source(
    settings: Settings, endpoint: Endpoint, workload: Workload | None = None, topology: Topology | None = None
) -> PromptSource:
    """The source for prompts of exact length through the API of ``endpoint``; one for conversations where ``workload`` asks for them.
    ``topology``: what was started there, if not the mocker.

    :raises WorkloadError: when there is no tokenizer and the server's counts do not allow to do without.
    :raises DeploymentError: when the model of ``topology`` is not on this host.
    """
    if settings.tokenizer is not None or settings.attached:
        return source_for(endpoint, settings.tokenizer, workload)
    directory = make_model(settings.cache_directory) if topology is None else model_directory(topology, settings)
    return source_for(endpoint, directory, workload)


def source_for(endpoint: Endpoint, tokenizer: Path | None, workload: Workload | None = None) -> PromptSource:
    """Of a server that runs: from the model's directory where there is one, else from what the server counts.

    :raises WorkloadError: as :func:`prompt_source`.
    """
    if tokenizer is not None and endpoint.api == "chat":
        return _tokenized(tokenizer)
    conversations = workload is not None and workload.kind == "conversation" and workload.file is None
    key = (repr(endpoint), tokenizer, conversations)
    if key not in _ANSWERED:
        _ANSWERED[key] = _calibrated(endpoint, conversations=conversations) if tokenizer is None else _tokenized_text(endpoint, tokenizer)
    return _ANSWERED[key]


@lru_cache(maxsize=4)
def _tokenized(directory: Path) -> PromptSource:
    return TokenizedPrompts(load_tokenizer(directory))


def _tokenized_text(endpoint: Endpoint, directory: Path) -> PromptSource:
    """One completion tells whether the server has its tokenizer add special tokens to a text: some do, some do not."""
    bare, begun = (TokenizedPrompts(load_text_tokenizer(directory, special_tokens=special)) for special in (False, True))
    if bare.overhead() == begun.overhead():
        return bare
    probe = Request(index=0, content=calibration_prompt(_SHORT), isl=0, osl=1)
    counted = _counted(endpoint, probe.content)
    expected = {len(source.tokens(probe)): source for source in (bare, begun)}
    if counted in expected:
        return expected[counted]
    msg = (
        f"the server counts {counted} tokens for a text that the tokenizer in {directory} makes "
        f"{' or, with special tokens, '.join(map(str, expected))} of: it is not that of the served model"
    )
    raise WorkloadError(msg)


def _calibrated(endpoint: Endpoint, *, conversations: bool) -> PromptSource:
    """Two completions of known numbers of letters tell what a letter and the chat template cost, two more what a turn costs."""
    short, long = ((letters, _counted(endpoint, calibration_prompt(letters))) for letters in (_SHORT, _LONG))
    if not conversations:
        return calibrate(short, long)
    first, second = (_counted(endpoint, calibration_prompt(_SHORT), CALIBRATION_HISTORY[:turns]) for turns in (1, 2))
    return calibrate(short, long, turns=(first, second))


def _counted(endpoint: Endpoint, content: str, history: History = ()) -> int:
    return complete_once(endpoint, content=content, max_tokens=1, timeout_s=_PROBE_S, history=history).prompt_tokens
