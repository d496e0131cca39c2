"""What the options of `dynperf load` mean: parsed arguments in, a load to conduct out. Reads no file but a trace, for its
lengths, and asks nobody."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import ssl
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from pytest_dynperf.command.load_options import KEYED, TRACE, WHAT, destination
from pytest_dynperf.endpoint import Endpoint, base_url_of, shown
from pytest_dynperf.errors import UsageError
from pytest_dynperf.metrics.objectives import Objectives
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.keys import KEYS, Value, read
from pytest_dynperf.scenario.traffic import Traffic, flaw
from pytest_dynperf.session.load_once import Load
from pytest_dynperf.workload.synthesizer import adjust
from pytest_dynperf.workload.trace import read_trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

_OPTION_OF = {
    **{keyed.key: keyed.option for keyed in KEYED},
    "traffic.arrival.min_rate_per_s": "MIN of --sine",
    "traffic.arrival.max_rate_per_s": "MAX of --sine",
    "expect.objectives": "--goodput",
}
_OBJECTIVES = {
    **dict.fromkeys(("ttft", "time_to_first_token"), "time_to_first_token_s"),
    **dict.fromkeys(("itl", "tpot", "inter_token_latency"), "inter_token_latency_s"),
    **dict.fromkeys(("latency", "e2el", "request_latency"), "request_latency_s"),
    **dict.fromkeys(("effective", "effective_latency"), "effective_latency_s"),
}
"""What --goodput calls an objective: our word, that of `vllm bench serve`, the metric's name."""
_SENSELESS = {
    "--speedup": "the trace lends its requests, and not their times",
    "--max-in-flight": "a closed loop has as many in flight as it has",
}


def load_of(arguments: argparse.Namespace) -> Load:
    """Everything that the command line asks for.

    :raises UsageError: for the first value or combination that has no meaning; names the option.
    """
    seed = secrets.randbits(31) if arguments.seed is None else _whole("--seed", arguments.seed, least=0)
    traffic, expectation = traffic_of(arguments, shape_seed=seed)
    processes = arguments.processes
    tokenizer = None if arguments.tokenizer is None else Path(arguments.tokenizer).expanduser()
    if tokenizer is not None and not tokenizer.is_dir():
        msg = f"--tokenizer: {tokenizer} is not a directory; give the one of the served model, with its tokenizer.json"
        raise UsageError(msg)
    return Load(
        endpoint=endpoint_of(arguments),
        traffic=traffic,
        expectation=expectation,
        root=Path.cwd(),
        seed=seed,
        tokenizer=tokenizer,
        processes=None if processes is None else _whole("--processes", processes, least=1),
    )


def endpoint_of(arguments: argparse.Namespace) -> Endpoint:
    """The server; its model is an empty text where it is to be asked for.

    :raises UsageError: for a URL, header, file or variable that cannot be used. No text holds a password or a key.
    """
    variable, ca_file = arguments.api_key_env, arguments.ca_file
    if variable is not None and not os.environ.get(variable, "").strip():
        msg = f"--api-key-env: the environment variable {variable!r} is not set; it must hold the API key"
        raise UsageError(msg)
    if ca_file is not None:
        _check_authorities(ca_file)
    return Endpoint(
        base_url=base_url_of(arguments.url),
        model=arguments.model or "",
        api=arguments.api,
        api_key_variable=variable,
        headers=tuple(_header(text) for text in arguments.header),
        extra_body=tuple(_extra_body(arguments.extra_body).items()),
        ca_file=None if ca_file is None else str(Path(ca_file).resolve()),
        metrics_urls=tuple(_metrics_url(text) for text in arguments.metrics_url),
        gpu_count=None if arguments.gpus is None else _whole("--gpus", arguments.gpus, least=1),
    )


def traffic_of(arguments: argparse.Namespace, *, shape_seed: int = 0) -> tuple[Traffic, Expectation]:
    """What is asked, when, how often, and inside which bounds a run is valid. ``shape_seed`` stretches a trace as it will be for the load.

    :raises UsageError: as :func:`load_of`.
    """
    given = _given(arguments)
    values = {keyed.key: read(KEYS[keyed.key], given[keyed.option], where=keyed.option) for keyed in KEYED if keyed.option in given}
    _check_one_clock(given)
    tables = {name: _fields(values, name) for name in ("traffic", "traffic.arrival", "traffic.workload", "expect")}
    traffic = msgspec.convert(
        {
            "runs": 1,
            **tables["traffic"],
            **_lengths(given),
            "arrival": {**tables["traffic.arrival"], **_arrival(given)},
            "workload": {**tables["traffic.workload"], **_workload(given)},
            "ignore_eos": not arguments.no_ignore_eos,
        },
        Traffic,
    )
    if "--duration" in given:
        traffic = _with_duration(traffic, given)
    if "--trace" in given:
        traffic = _with_trace(traffic, Path(given["--trace"]), shape_seed)
    if (text := flaw(traffic)) is not None:
        raise UsageError(in_options(text))
    return traffic, Expectation(gates=(), objectives=_objectives(arguments.goodput), **tables["expect"])  # type: ignore[arg-type]  # `read` checked each against its field


def in_options(text: str) -> str:
    """A sentence about keys of scenarios, or about options of pytest, as one about the options of this command."""
    for key, option in sorted(_OPTION_OF.items(), key=lambda entry: -len(entry[0])):
        text = text.replace(key, option)
    return text.replace("--dynperf-", "--")


def _objectives(texts: Sequence[str]) -> Objectives:
    bounds = {}
    for text in texts:
        name, _, bound = text.partition("=")
        found = re.fullmatch(r"([0-9.]+)(ms|s)", bound)
        if name not in _OBJECTIVES or found is None:
            known = ", ".join(_OBJECTIVES)
            msg = f"--goodput: found {text!r}, allowed is METRIC=TIME with a unit, as ttft=0.5s or itl=20ms; metrics: {known}"
            raise UsageError(msg)
        key = KEYS[f"expect.objectives.{_OBJECTIVES[name]}"]
        seconds = read(key, found[1] if found[2] == "s" else f"{found[1]}e-3", where="--goodput")
        bounds[_OBJECTIVES[name]] = seconds
    return msgspec.convert(bounds, Objectives)


def _given(arguments: argparse.Namespace) -> dict[str, str]:
    options = [keyed.option for keyed in KEYED] + ["--sine", "--trace", "--conversations", "--arrival", "--duration"]
    found = {option: getattr(arguments, destination(option)) for option in options}
    return {
        option: " ".join(value) if isinstance(value, list) else str(value) for option, value in found.items() if value not in (None, False)
    }


def _fields(values: Mapping[str, Value], table: str) -> dict[str, object]:
    return {key.rpartition(".")[2]: value for key, value in values.items() if key.rpartition(".")[0] == table}


def _check_one_clock(given: Mapping[str, str]) -> None:
    clocks = [option for option in ("--concurrency", "--rate", "--sine") if option in given]
    if len(clocks) > 1:
        msg = f"{' and '.join(clocks)} exclude each other: requests are sent when one ends, or at a rate"
        raise UsageError(msg)
    if not clocks and "--trace" not in given:
        msg = (
            "when are requests sent? Give --concurrency C (so many in flight), --rate R (requests/s), --sine MIN MAX PERIOD or --trace FILE"
        )
        raise UsageError(msg)
    needs = {
        "--arrival": ("--rate",),
        "--burstiness": ("--rate",),
        "--duration": ("--rate", "--sine"),
        "--max-in-flight": ("--rate", "--sine", "--trace"),
        "--turn-delay": ("--turns",),
        "--prefixes": ("--prefix-ratio",),
        "--images-per-request": ("--images",),
        **dict.fromkeys(("--conversations", *(keyed.option for keyed in TRACE)), ("--trace",)),
    }
    for option, others in needs.items():
        if option in given and not any(other in given for other in others):
            msg = f"{option} has a meaning only with {' or '.join(others)}"
            raise UsageError(msg)

    excluded = {"--speedup": ("--concurrency", "--rate", "--sine"), "--max-in-flight": ("--concurrency",)}
    for option, others in excluded.items():
        if option in given and (clash := [other for other in others if other in given]):
            msg = f"{option} has no meaning with {clash[0]}: {_SENSELESS[option]}"
            raise UsageError(msg)
    if any(option in given for option in ("--turns", "--conversations")) and any(option in given for option in ("--rate", "--sine")):
        msg = "conversations run with --concurrency, or at the times of a --trace: a turn waits for the answer before it"
        raise UsageError(msg)


def _arrival(given: Mapping[str, str]) -> dict[str, object]:
    if "--concurrency" in given:
        return {}
    if "--sine" in given:
        names = ("min_rate_per_s", "max_rate_per_s", "period_s")
        found = zip(names, given["--sine"].split(" "), strict=True)
        return {"process": "sinusoidal", **{name: read(KEYS[f"traffic.arrival.{name}"], text, where="--sine") for name, text in found}}
    if "--rate" not in given:
        return {"process": "trace"}
    process = given.get("--arrival", "gamma" if "--burstiness" in given else "poisson")
    if "--burstiness" in given and process != "gamma":
        msg = f"--burstiness belongs to --arrival gamma; the gaps of --arrival {process} have no shape"
        raise UsageError(msg)
    return {"process": process}


def _workload(given: Mapping[str, str]) -> dict[str, object]:
    kinds = {"--trace": "trace", "--turns": "conversation", "--prefix-ratio": "shared-prefix", "--images": "images"}
    chosen = [option for option in kinds if option in given]
    if len(chosen) > 1:
        msg = f"{' and '.join(chosen)} cannot be combined: each says by itself what the requests hold"
        raise UsageError(msg)
    if "--trace" in given:
        return {"kind": "conversation" if "--conversations" in given else "trace", "file": given["--trace"]}
    return {"kind": kinds[chosen[0]]} if chosen else {}


def _lengths(given: Mapping[str, str]) -> dict[str, object]:
    if "--trace" not in given:
        missing = [option for option in ("--isl", "--osl") if option not in given]
        if missing:
            msg = f"{' and '.join(missing)} is missing: how many tokens are asked, and wanted back?"
            raise UsageError(msg)
        return {}
    own = [keyed.option for keyed in WHAT if keyed.option in given]
    if own:
        msg = f"{own[0]} has no meaning with --trace: the trace says what is asked"
        raise UsageError(msg)
    return {"isl": 1, "osl": 2}  # until the trace is read


def _with_duration(traffic: Traffic, given: Mapping[str, str]) -> Traffic:
    if "--requests" in given:
        msg = "--duration and --requests exclude each other: the rate makes one of the other"
        raise UsageError(msg)
    seconds, rate = _seconds("--duration", given["--duration"]), traffic.arrival.mean_rate_per_s
    return traffic if rate is None else replace(traffic, requests=max(1, math.ceil(seconds * rate)))


def _with_trace(traffic: Traffic, path: Path, seed: int) -> Traffic:
    """Mean lengths, to say beforehand how long it may take, and as many requests as there are."""
    entries = adjust(read_trace(path, block_size=traffic.workload.block_size), traffic.workload, seed=seed)
    isl, osl = (fmean(lengths) for lengths in zip(*((entry.isl, entry.osl) for entry in entries), strict=True))
    requests = traffic.requests if traffic.requests is not None else max(1, len(entries) - traffic.warmup_count)
    return replace(traffic, isl=round(isl), osl=max(2, round(osl)), requests=requests)


def _whole(option: str, text: str, *, least: int) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
        msg = f"{option}: found {text!r}, allowed is an integer of at least {least}"
        raise UsageError(msg)
    return int(text)


def _seconds(option: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        msg = f"{option}: found {text!r}, allowed is a number of seconds greater than 0"
        raise UsageError(msg)
    return seconds


def _check_authorities(path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # a file that is not PEM raises ssl.SSLError, which is one
        msg = f"--ca-file: {path} cannot be used: {error.strerror or error}. Give certificates in PEM."
        raise UsageError(msg) from error


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator or not name.strip() or "\n" in text or "\r" in text:
        msg = f"--header: found {name.strip()!r}, allowed is 'NAME: VALUE'"  # never the value: it may be a key
        raise UsageError(msg)
    return name.strip(), value.strip()


def _extra_body(text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        msg = f"--extra-body: not JSON: {error}"
        raise UsageError(msg) from error
    if not isinstance(found, dict):
        msg = f"--extra-body: found {text[:80]!r}, allowed is a JSON object, as '{{\"temperature\": 0}}'"
        raise UsageError(msg)
    return found


def _metrics_url(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    parts = urlsplit(url)
    if not separator or not name or parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        msg = f"--metrics-url: found {shown(text)!r}, allowed is NAME=URL, as frontend=http://localhost:8000/metrics"
        raise UsageError(msg)
    return name, url
