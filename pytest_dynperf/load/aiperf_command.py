"""The command line of ``aiperf profile`` for one run. Pure: what AIPerf knows arrives as ``flags``, read from its ``--help``.

No secret stands on it: every user of the machine can read command lines. A key goes by the name of its environment variable, and headers
go in a configuration file that only its owner can read (:func:`configuration`).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.scenario.traffic import Traffic

BUILTIN_TOKENIZER = "builtin"
"""AIPerf's own tokenizer, which it downloads once. It is not the model's: prompts are about as long as asked, and the server counts
them."""

_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")
_OPEN = ("constant", "poisson", "gamma")


def known_flags(help_text: str) -> frozenset[str]:
    """Every long option that ``aiperf profile --help`` names."""
    return frozenset(_FLAG.findall(help_text))


def aiperf_arguments(
    endpoint: Endpoint,
    traffic: Traffic,
    *,
    flags: frozenset[str],
    directory: Path,
    seed: int,
    tokenizer: str = BUILTIN_TOKENIZER,
    configuration_file: Path | None = None,
) -> list[str]:
    """Arguments after the executable. Every request has a prompt of its own, tokens are counted by the server.

    ``tokenizer`` is a directory with the model's tokenizer files, or :data:`BUILTIN_TOKENIZER`. ``configuration_file`` holds
    :func:`configuration`, where that is not ``None``.

    :raises UsageError: for traffic that AIPerf cannot make as asked, and for an AIPerf that lacks a flag without which its numbers would
        not be comparable; says which.
    """
    _refuse(traffic)
    name = _Names(flags)
    requests = traffic.request_count + traffic.warmup_count
    arguments = ["profile", *name.option("--model", "--model-names", value=endpoint.model), *name.option("--url", value=endpoint.base_url)]
    arguments += [
        *name.option("--endpoint-type", value=endpoint.api),
        *name.option("--streaming"),
        *name.option("--use-server-token-count"),
    ]
    arguments += name.option("--tokenizer", value=tokenizer)
    if tokenizer != BUILTIN_TOKENIZER and endpoint.api == "chat":
        arguments += name.wish("--apply-chat-template")  # our ISL includes the template
    arguments += _lengths(traffic, name)
    arguments += _load(traffic, name)
    arguments += name.option("--request-count", "--num-requests", value=str(traffic.request_count))
    if traffic.warmup_count:
        arguments += name.option("--warmup-request-count", "--num-warmup-requests", value=str(traffic.warmup_count))
    arguments += name.option("--num-dataset-entries", "--num-prompts", value=str(requests))
    arguments += [*name.option("--random-seed", value=str(seed)), *_inputs(endpoint, traffic, name)]
    arguments += name.wish("--request-timeout-seconds", value=f"{traffic.request_timeout_s:g}")
    arguments += name.option("--output-artifact-dir", "--artifact-dir", value=str(directory))
    for flag, value in (("--ui", "none"), ("--no-gpu-telemetry", None), ("--no-server-metrics", None)):
        arguments += name.wish(flag, value=value)
    if configuration_file is not None:
        arguments += name.option("--config", value=str(configuration_file))
    return arguments


def configuration(endpoint: Endpoint, traffic: Traffic) -> str | None:
    """What must not stand on a command line, as a configuration file (JSON, which is YAML); ``None`` where there is nothing to hide.

    AIPerf wants a whole configuration there. What the command line states outweighs it; endpoint keys are what is left of it. The key is
    ``${VARIABLE}``, which AIPerf replaces by the value in its environment.
    """
    if endpoint.api_key_variable is None and not endpoint.headers:
        return None
    secret: dict[str, object] = {"url": endpoint.base_url}
    if endpoint.api_key_variable is not None:
        secret["api_key"] = f"${{{endpoint.api_key_variable}}}"
    if endpoint.headers:
        secret["headers"] = dict(endpoint.headers)
    arrival = traffic.arrival
    # A concurrency here would bound the open loop of the command line.
    load = {"concurrency": traffic.slots} if arrival.closed else {"rate": arrival.rate_per_s}
    phase = {"name": "profiling", "type": arrival.process, **load, "requests": traffic.request_count}
    prompts = {"isl": traffic.isl, "osl": traffic.osl}
    whole = {
        "model": endpoint.model,
        "endpoint": secret,
        "dataset": {"type": "synthetic", "entries": traffic.request_count, "prompts": prompts},
        "phases": [phase],
    }
    return json.dumps({"benchmark": whole}, indent=1) + "\n"


class _Names:
    """Options by the first of their names that this AIPerf knows."""

    def __init__(self, flags: Iterable[str]) -> None:
        self._flags = frozenset(flags)

    def option(self, *names: str, value: str | None = None) -> list[str]:
        """:raises UsageError: where none of the names is known."""
        known = next((name for name in names if name in self._flags), None)
        if known is None:
            msg = (
                f"this AIPerf has no {' or '.join(names)}; 0.13.0 is known to work: pip install aiperf==0.13.0 in an environment of its own"
            )
            raise UsageError(msg)
        return [known] if value is None else [known, value]

    def wish(self, name: str, value: str | None = None) -> list[str]:
        """Nothing where the name is not known: the run is the same without it."""
        return self.option(name, value=value) if name in self._flags else []


def _refuse(traffic: Traffic) -> None:
    arrival, workload = traffic.arrival, traffic.workload
    if workload.kind != "synthetic":
        msg = (
            f"AIPerf is driven with synthetic prompts only, asked is traffic.workload.kind = {workload.kind!r}: use our own load generator"
        )
        raise UsageError(msg)
    if not arrival.closed and arrival.process not in _OPEN:
        msg = f"AIPerf has no arrival process {arrival.process!r} (it has {', '.join(_OPEN)} and a closed loop): use our own load generator"
        raise UsageError(msg)
    if arrival.ramp_s:
        msg = "AIPerf counts a ramp as part of what it measures: set traffic.arrival.ramp_s = 0, or use our own load generator"
        raise UsageError(msg)


def _lengths(traffic: Traffic, name: _Names) -> list[str]:
    workload = traffic.workload
    arguments = [
        *name.option("--isl", "--synthetic-input-tokens-mean", value=str(traffic.isl)),
        *name.option("--osl", "--output-tokens-mean", value=str(traffic.osl)),
    ]
    if workload.isl_stddev:
        arguments += name.option("--isl-stddev", "--synthetic-input-tokens-stddev", value=f"{workload.isl_stddev:g}")
    if workload.osl_stddev:
        arguments += name.option("--osl-stddev", "--output-tokens-stddev", value=f"{workload.osl_stddev:g}")
    return arguments


def _load(traffic: Traffic, name: _Names) -> list[str]:
    arrival = traffic.arrival
    if arrival.closed:
        return name.option("--concurrency", value=str(traffic.slots))
    arguments = name.option("--request-rate", value=f"{arrival.rate_per_s:g}")
    arguments += name.option("--arrival-pattern", "--request-rate-mode", value=arrival.process)
    if arrival.process == "gamma":
        arguments += name.option("--arrival-smoothness", "--vllm-burstiness", value=f"{arrival.burstiness:g}")
    if arrival.max_in_flight is not None:
        arguments += name.option("--concurrency", value=str(arrival.max_in_flight))
    return arguments


def _inputs(endpoint: Endpoint, traffic: Traffic, name: _Names) -> list[str]:
    """``min_tokens`` and ``max_tokens`` beside ``ignore_eos``: servers differ in which of them they obey."""
    inputs: dict[str, object] = dict(endpoint.extra_body)
    if traffic.ignore_eos:
        inputs["ignore_eos"] = True
        if not traffic.workload.osl_stddev:
            inputs |= {"min_tokens": traffic.osl, "max_tokens": traffic.osl}
    if traffic.temperature is not None:
        inputs["temperature"] = traffic.temperature
    return name.option("--extra-inputs", value=json.dumps(inputs)) if inputs else []
