"""`dynperf workload analyze` and `preview`: what is in a trace, for people."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.command.workload_files import free_path, trace_of
from pytest_dynperf.command.workload_text import analysis_charts, analysis_lines, encode_analysis, table_lines
from pytest_dynperf.report.chart_sheet import draw_sheet
from pytest_dynperf.report.wording import ABSENT
from pytest_dynperf.report.wrapping import printable
from pytest_dynperf.run_directory import write_atomically
from pytest_dynperf.workload.analysis import analyze as analysed
from pytest_dynperf.workload.prefix_tree import grow
from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
from pytest_dynperf.workload.tokenizer import load_tokenizer
from pytest_dynperf.workload.trace_requests import trace_requests

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from pytest_dynperf.workload.trace import TraceEntry

_SHOWN = 100
"""Characters of a prompt."""


def analyze(arguments: argparse.Namespace) -> int:
    """Print a table; draw and write what is asked for.

    :raises DynperfError: for a wrong trace, and for files that exist.
    """
    outputs = {name: free_path(path, force=arguments.force) for name in ("svg", "json") if (path := getattr(arguments, name)) is not None}
    analysis = analysed(trace_of(arguments), block_size=arguments.block_size)
    _say(analysis_lines(analysis, name=printable(arguments.file), block_size=arguments.block_size))
    if "svg" in outputs:
        write_atomically(
            outputs["svg"], draw_sheet(f"{Path(arguments.file).name}: {analysis.requests:,} requests", analysis_charts(analysis))
        )
    if "json" in outputs:
        write_atomically(outputs["json"], encode_analysis(analysis, name=arguments.file, block_size=arguments.block_size))
    return 0


def preview(arguments: argparse.Namespace) -> int:
    """Print the first requests.

    :raises DynperfError: for a wrong trace or tokenizer.
    """
    entries = trace_of(arguments)
    _say(table_lines([("line", "time", "ISL", "OSL", "blocks", "shared", "known", "session"), *_rows(entries, arguments.requests)]))
    _say(["", "shared: leading blocks that another request of the file has as well; known: those that an earlier one has"])
    if arguments.tokenizer is not None:
        source = TokenizedPrompts(load_tokenizer(Path(arguments.tokenizer)))
        requests = trace_requests(entries, source, block_size=arguments.block_size, seed=arguments.seed)
        _say(["", f"prompts, cut to {_SHOWN} characters, with seed {arguments.seed}; turns of a session stand together"])
        for request in islice(requests, arguments.requests):
            who = "" if request.conversation is None else f" of {request.conversation}, turn {request.turn}"
            _say([printable(f"{request.index}{who}, {request.isl} tokens: {request.content[:_SHOWN]}")])
    return 0


def _rows(entries: tuple[TraceEntry, ...], count: int) -> Iterable[tuple[str, ...]]:
    tree, known = grow(entry.hash_ids for entry in entries), 0
    for entry, path in islice(zip(entries, tree.paths, strict=True), count):
        found = sum(node < known for node in path)
        known = max(known, path[-1] + 1)
        at = ABSENT if entry.at_s is None else f"{entry.at_s:,.3f} s"
        numbers = (entry.isl, entry.osl, len(path), tree.shared_blocks(path), found)
        yield (str(entry.line), at, *(f"{number:,}" for number in numbers), printable(entry.session_id or ABSENT))


def _say(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
