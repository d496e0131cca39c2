"""Speculative decoding in the words of each engine. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.scenario.topology import Speculation


def vllm_flags(speculation: Speculation, *, draft: str = "") -> tuple[str, ...]:
    """``--speculative-config`` as vLLM reads it (``vllm.config.SpeculativeConfig``). ``draft``: where the files of the draft are,
    if not under its name.
    """
    if speculation.method == "none":
        return ()
    found: dict[str, object] = {"method": speculation.method}
    if speculation.method == "ngram":
        found["num_speculative_tokens"] = speculation.tokens
        found |= _set(prompt_lookup_max=speculation.lookup_max, prompt_lookup_min=speculation.lookup_min)
    else:
        found |= {"model": draft or speculation.model, "num_speculative_tokens": speculation.tokens}
    return ("--speculative-config", json.dumps(found, separators=(",", ":")))


def sglang_flags(speculation: Speculation) -> tuple[str, ...]:
    """SGLang's ``--speculative-…``. A chain of ``tokens`` drafts (top-k 1) is verified together with the token before it."""
    if speculation.method == "none":
        return ()
    if speculation.method == "ngram":
        return ("--speculative-algorithm", "NGRAM", "--speculative-num-draft-tokens", str(speculation.tokens))
    return (
        *("--speculative-algorithm", {"draft_model": "STANDALONE", "eagle3": "EAGLE3"}[speculation.method]),
        *("--speculative-draft-model-path", str(speculation.model)),
        *("--speculative-num-steps", str(speculation.tokens), "--speculative-eagle-topk", "1"),
        *("--speculative-num-draft-tokens", str((speculation.tokens or 0) + 1)),
    )


def trtllm_config(speculation: Speculation) -> dict[str, object]:
    """``speculative_config`` of TensorRT-LLM's engine arguments; empty without speculation.

    Source: ``tensorrt_llm/llmapi/llm_args.py``, whose older name ``speculative_model_dir`` newer versions take as well.
    """
    if speculation.method == "none":
        return {}
    if speculation.method == "ngram":
        return {"decoding_type": "NGram", "max_draft_len": speculation.tokens, **_set(max_matching_ngram_size=speculation.lookup_max)}
    return {
        "decoding_type": {"draft_model": "Draft_Target", "eagle3": "Eagle3"}[speculation.method],
        "max_draft_len": speculation.tokens,
        "speculative_model_dir": speculation.model,
    }


def _set(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
