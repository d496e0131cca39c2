"""`dynperf workload write`: the requests of any workload, as they would be sent, for others to use."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.command.load_meaning import traffic_of
from pytest_dynperf.command.load_options import add_options
from pytest_dynperf.command.workload_files import free_path
from pytest_dynperf.report.wording import counted
from pytest_dynperf.run_directory import write_atomically
from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
from pytest_dynperf.workload.stream import requests_of
from pytest_dynperf.workload.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from pytest_dynperf.scenario.traffic import Traffic
    from pytest_dynperf.workload.request import Request

SCHEMA = 1


def write(arguments: argparse.Namespace) -> int:
    """Write them. Memory holds the whole file until it is complete.

    :raises DynperfError: for options without meaning, a wrong trace or tokenizer, and a file that exists.
    """
    path = free_path(arguments.output, force=arguments.force)
    traffic = _traffic(arguments)
    source = TokenizedPrompts(load_tokenizer(Path(arguments.tokenizer)))
    requests = islice(requests_of(traffic, source, seed=arguments.seed, root=Path.cwd()), traffic.request_count)
    lines = [encode_request(request) for request in requests]
    write_atomically(path, b"".join(lines))
    sys.stdout.write(f"{path}: {counted(len(lines), 'request')}, seed {arguments.seed}\n")
    return 0


def _traffic(arguments: argparse.Namespace) -> Traffic:
    """As `dynperf load` understands the options, in a closed loop of one: which requests, in their order, and not when."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    complete = argparse.Namespace(**{**vars(parser.parse_args(["unused"])), **given, "concurrency": "1", "warmup": "0"})
    traffic, _ = traffic_of(complete, shape_seed=arguments.seed)
    return traffic


def encode_request(request: Request) -> bytes:
    """One line, with its end: ``schema`` and the fields of :class:`~pytest_dynperf.workload.request.Request` in their order."""
    return msgspec.json.encode({"schema": SCHEMA, **asdict(request)}) + b"\n"
