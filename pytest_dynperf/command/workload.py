"""`dynperf workload`: make, change, look at and write what a load asks for. Options only; what they do stands in ``workload_traces``,
``workload_views`` and ``workload_requests``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.command.load_options import TRACE, WHAT
from pytest_dynperf.command.workload_options import (
    FORMAT,
    add_force,
    add_keyed,
    add_output,
    add_seed,
    add_shaping,
    add_trace,
    at_least_0,
    positive,
    share,
    whole,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``workload`` with its own commands."""
    parser = subparsers.add_parser(
        "workload",
        help="make, change, look at and write traces and requests",
        description="Make, change, look at and write what a load asks for. Nothing is sent anywhere.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    _add_analyze(commands)
    _add_preview(commands)
    _add_adjust(commands)
    _add_synthesize(commands)
    _add_burstgpt(commands)
    _add_sine(commands)
    _add_write(commands)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser


def _add_analyze(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "analyze", _analyze, "say what a trace asks for: lengths, what is shared, rate, sessions")
    add_trace(parser)
    parser.add_argument("--svg", metavar="FILE", help="draw the distributions")
    parser.add_argument("--json", metavar="FILE", help="write all values")
    add_force(parser)


def _add_preview(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "preview", _preview, "show the first requests of a trace, with a tokenizer as they would be sent")
    add_trace(parser)
    parser.add_argument("--requests", metavar="N", type=whole(1), default=10, help="how many (default 10)")
    parser.add_argument("--tokenizer", metavar="DIR", help="directory of the model: make the prompts, and show their beginnings")
    add_seed(parser)


def _add_adjust(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "adjust", _adjust, "stretch, filter or sort a trace; its requests stay the same ones")
    add_trace(parser)
    add_shaping(parser)
    add_output(parser)


def _add_synthesize(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "synthesize", _synthesize, "draw a new trace with the statistics of another one")
    add_trace(parser)
    parser.add_argument("--requests", metavar="N", type=whole(1), help="how many to draw (default: as many as the trace has)")
    parser.add_argument("--speedup", metavar="X", type=positive, default=1.0, help="divide the gaps between requests by X (default 1)")
    add_shaping(parser)
    add_output(parser)


def _add_burstgpt(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "burstgpt", _burstgpt, "make a trace of BurstGPT's table of requests")
    parser.add_argument("file", metavar="FILE", help="CSV of BurstGPT")
    parser.add_argument("--model", metavar="NAME", help="rows of this model alone: ChatGPT or GPT-4 (default: all)")
    parser.add_argument("--log-type", metavar="NAME", help="rows of this log alone: 'Conversation log' or 'API log' (default: all)")
    parser.add_argument("--keep-failed", action="store_true", help="keep rows without response tokens, with an output length of 0")
    parser.add_argument("--skip-num-prompt", metavar="N", type=whole(0), default=0, help="then leave out the first N rows (default 0)")
    parser.add_argument("--num-prompt", metavar="N", type=whole(1), help="then take N rows (default: all)")
    parser.add_argument("--speed-ratio", metavar="X", type=positive, default=1.0, help="divide times by X (default 1)")
    parser.add_argument("--block-size", metavar="TOKENS", type=whole(1), default=128, help="tokens of a block (default 128)")
    parser.add_argument(
        "--num-hash-blocks",
        metavar="N",
        type=whole(0),
        default=10_000,
        help="draw hashes from 0 to N (default 10000); 0: every block has its own, nothing is shared",
    )
    add_output(parser)


def _add_sine(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "sine", _sine, "make a trace whose rate and mix of two kinds of requests swing as a sine")
    for option, metavar, kind, default, text in (
        ("--time-duration", "S", positive, 100.0, "length of the trace"),
        ("--process-interval", "S", positive, 1.0, "rate and mix are constant over such intervals"),
        ("--request-rate-min", "R", at_least_0, 5.0, "lowest rate in requests/s, at the beginning"),
        ("--request-rate-max", "R", at_least_0, 10.0, "highest rate, half a period later"),
        ("--request-rate-period", "S", positive, 10.0, "period of the rate"),
        ("--isl1", "TOKENS", whole(1), 100, "ISL of the first kind"),
        ("--osl1", "TOKENS", whole(1), 2000, "its OSL"),
        ("--isl2", "TOKENS", whole(1), 5000, "ISL of the second kind"),
        ("--osl2", "TOKENS", whole(1), 100, "its OSL"),
        ("--isl-osl-ratio-min", "SHARE", share, 0.2, "lowest share of the first kind, at the beginning"),
        ("--isl-osl-ratio-max", "SHARE", share, 0.8, "highest share, half a period later"),
        ("--isl-osl-ratio-period", "S", positive, 10.0, "period of the share"),
        ("--block-size", "TOKENS", whole(1), 512, "tokens of a block"),
        ("--total-blocks", "N", whole(1), 10_000, "each block is one of so many"),
    ):
        parser.add_argument(option, metavar=metavar, type=kind, default=default, help=f"{text} (default {default:g})")
    add_output(parser)


def _add_write(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "write", _write, "write the requests of any workload with their exact prompts, one JSON line each")
    what = parser.add_argument_group("what is asked")
    add_keyed(what, WHAT)
    trace = parser.add_argument_group("requests of a trace")
    trace.add_argument("--trace", metavar="FILE", help=FORMAT)
    trace.add_argument("--conversations", action="store_true", help="requests of one session_id are the turns of a conversation")
    add_keyed(trace, tuple(keyed for keyed in TRACE if keyed.option != "--speedup"))
    parser.add_argument("--requests", metavar="N", help="how many (default 30; of a trace all)")
    parser.add_argument("--tokenizer", metavar="DIR", required=True, help="directory of the model, with its tokenizer and chat template")
    add_output(parser)


def _analyze(arguments: argparse.Namespace) -> int:
    from pytest_dynperf.command.workload_views import analyze

    return analyze(arguments)


def _preview(arguments: argparse.Namespace) -> int:
    from pytest_dynperf.command.workload_views import preview

    return preview(arguments)


def _adjust(arguments: argparse.Namespace) -> int:
    from pytest_dynperf.command.workload_traces import adjust

    return adjust(arguments)


def _synthesize(arguments: argparse.Namespace) -> int:
    from pytest_dynperf.command.workload_traces import synthesize

    return synthesize(arguments)


def _burstgpt(arguments: argparse.Namespace) -> int:
    from pytest_dynperf.command.workload_traces import burstgpt

    return burstgpt(arguments)


def _sine(arguments: argparse.Namespace) -> int:
    from pytest_dynperf.command.workload_traces import sine

    return sine(arguments)


def _write(arguments: argparse.Namespace) -> int:
    from pytest_dynperf.command.workload_requests import write

    return write(arguments)
