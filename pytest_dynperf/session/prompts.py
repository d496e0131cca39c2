"""Where prompts come from: the model's own tokenizer, or a calibration by the server's usage counts where there is none."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.model_directory import make_model
from pytest_dynperf.deployment.readiness import complete_once
from pytest_dynperf.workload.synthetic import TokenizedPrompts, calibrate, calibration_prompt
from pytest_dynperf.workload.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.session.plan import Settings
    from pytest_dynperf.workload.synthetic import PromptSource

_SHORT, _LONG = 32, 160


def prompt_source(settings: Settings, endpoint: Endpoint) -> PromptSource:
    """The source for prompts of exact length.

    :raises WorkloadError: when there is no tokenizer and the server's counts do not allow to do without.
    """
    if settings.tokenizer is not None:
        return _tokenized(settings.tokenizer)
    if settings.attached:
        return _calibrated(endpoint)
    return _tokenized(make_model(settings.cache_directory))


@lru_cache(maxsize=4)
def _tokenized(directory: Path) -> PromptSource:
    return TokenizedPrompts(load_tokenizer(directory))


@lru_cache(maxsize=4)
def _calibrated(endpoint: Endpoint) -> PromptSource:
    """Two completions of known numbers of letters tell what a letter and the chat template cost."""
    counts = []
    for letters in (_SHORT, _LONG):
        answer = complete_once(endpoint, content=calibration_prompt(letters), max_tokens=1, timeout_s=60.0, ignore_eos=False)
        counts.append((letters, answer.prompt_tokens))
    return calibrate(counts[0], counts[1])
