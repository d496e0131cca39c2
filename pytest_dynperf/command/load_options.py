"""The options of `dynperf load`: what they are called. Pure; what they mean stands in ``load_meaning``.

Values of a scenario keep their names: ``--isl-stddev`` is ``traffic.workload.isl_stddev``, with the same bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse


class Keyed(NamedTuple):
    """An option whose value is that of a key of scenarios."""

    option: str
    metavar: str
    key: str
    help: str


WHAT = (
    Keyed("--isl", "TOKENS", "traffic.isl", "input sequence length: tokens of a prompt, chat template included"),
    Keyed("--osl", "TOKENS", "traffic.osl", "output sequence length: tokens of an answer"),
    Keyed("--isl-stddev", "TOKENS", "traffic.workload.isl_stddev", "standard deviation of the ISL, which is then normal (default 0)"),
    Keyed("--osl-stddev", "TOKENS", "traffic.workload.osl_stddev", "standard deviation of the OSL, which is then normal (default 0)"),
    Keyed("--prefix-ratio", "SHARE", "traffic.workload.prefix_ratio", "share of each prompt, 0 to 1, that is a text shared with others"),
    Keyed("--prefixes", "N", "traffic.workload.prefix_count", "number of shared texts (default 1)"),
    Keyed("--turns", "N", "traffic.workload.turns", "conversations of so many turns, each with the history of those before"),
    Keyed("--turn-delay", "S", "traffic.workload.turn_delay_s", "pause before the next turn of a conversation (default 0)"),
    Keyed("--images", "DIR", "traffic.workload.file", "send pictures of this directory with each request"),
    Keyed("--images-per-request", "N", "traffic.workload.image_count", "pictures in a request (default 1)"),
)
TRACE = (
    Keyed("--speedup", "X", "traffic.arrival.speedup", "replay the trace X times as fast (default 1)"),
    Keyed("--block-size", "TOKENS", "traffic.workload.block_size", "tokens that a block hash of the trace stands for (default 512)"),
    Keyed("--prefix-length-multiplier", "X", "traffic.workload.prefix_length_multiplier", "lengthen shared prefixes (default 1)"),
    Keyed("--prefix-root-multiplier", "N", "traffic.workload.prefix_root_multiplier", "replicate the prefix tree N times (default 1)"),
    Keyed("--prompt-length-multiplier", "X", "traffic.workload.prompt_length_multiplier", "lengthen unshared prompts (default 1)"),
    Keyed("--min-isl", "TOKENS", "traffic.workload.min_isl", "leave out shorter prompts of the trace"),
    Keyed("--max-isl", "TOKENS", "traffic.workload.max_isl", "leave out longer prompts of the trace"),
    Keyed("--min-osl", "TOKENS", "traffic.workload.min_osl", "lengthen shorter answers of the trace"),
    Keyed("--max-osl", "TOKENS", "traffic.workload.max_osl", "shorten longer answers of the trace"),
)
WHEN = (
    Keyed("--concurrency", "C", "traffic.concurrency", "closed loop: exactly C requests in flight, a new one when one ends"),
    Keyed("--rate", "R", "traffic.arrival.rate_per_s", "open loop: R requests per second on average, never waiting for answers"),
    Keyed("--burstiness", "B", "traffic.arrival.burstiness", "shape of gamma: 1 is Poisson, less is burstier, more is smoother"),
    Keyed("--ramp", "S", "traffic.arrival.ramp_s", "grow concurrency or rate over S seconds before the measured phase (default 0)"),
    Keyed(
        "--max-in-flight", "N", "traffic.arrival.max_in_flight", "open loop: what would be sent beyond N in flight is dropped, and counted"
    ),
)
HOW_MUCH = (
    Keyed(
        "--requests",
        "N",
        "traffic.requests",
        "measured requests of a run (default: 30 or 4 x C, the larger; open loop: what arrives in 30 s)",
    ),
    Keyed("--warmup", "N", "traffic.warmup_requests", "requests before them (default: C, at least 2; open loop: one second's)"),
    Keyed("--runs", "R", "traffic.runs", "repeat the run with new prompts; from 2 on the run CV is shown (default 1)"),
    Keyed("--timeout", "S", "traffic.request_timeout_s", "a request that takes longer has failed (default 120)"),
    Keyed("--inter-token-timeout", "S", "traffic.inter_token_timeout_s", "so has one that falls silent for longer (default 30)"),
)
BOUNDS = (
    Keyed("--max-error-share", "SHARE", "expect.max_error_share", "share of requests that may fail in a valid run (default 0)"),
    Keyed("--max-send-lag", "S", "expect.max_send_lag_s", "p99 by which sends may be late in a valid run (default 0.001)"),
    Keyed("--max-receive-lag", "S", "expect.max_receive_lag_s", "p99 by which reads may be late in a valid run (default 0.001)"),
    Keyed("--min-in-flight-share", "SHARE", "expect.min_in_flight_share", "share of C that must be in flight on average (default 0.95)"),
    Keyed("--max-late-share", "SHARE", "expect.max_late_share", "share of an open loop's sends that may be 1 ms late (default 0.01)"),
    Keyed("--min-rate-share", "SHARE", "expect.min_rate_share", "share of an open loop's rate that must be sent (default 0.95)"),
    Keyed("--max-uncertain-share", "SHARE", "expect.max_uncertain_share", "share of chunks whose stamp may be too late (default 0.01)"),
)
KEYED = (*WHAT, *TRACE, *WHEN, *HOW_MUCH, *BOUNDS)
"""Every option that is a key."""


def destination(option: str) -> str:
    """Where argparse leaves the value of ``option``."""
    return option.lstrip("-").replace("-", "_")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare all of them. Values of keys stay text: the table of keys says better than argparse what is allowed."""
    parser.add_argument(
        "url", metavar="URL", help="scheme, host, port and path prefix, as http://localhost:8000; a /v1 at the end does no harm"
    )
    _add_server(parser.add_argument_group("the server"))
    what = parser.add_argument_group("what is asked")
    _add_keyed(what, WHAT)
    what.add_argument("--no-ignore-eos", action="store_true", help="let the model end its answers; the OSL is then only the largest length")
    what.add_argument("--seed", metavar="N", help="seed of every prompt and gap (default: a new one, which is printed)")
    trace = parser.add_argument_group("requests of a trace")
    trace.add_argument("--trace", metavar="FILE", help="JSON lines in mooncake's format; at its own times, or with --concurrency or --rate")
    trace.add_argument("--conversations", action="store_true", help="requests of one session_id are the turns of a conversation")
    _add_keyed(trace, TRACE)
    when = parser.add_argument_group("when it is asked (one of --concurrency, --rate, --sine, --trace)")
    _add_keyed(when, WHEN)
    when.add_argument(
        "--arrival", choices=("constant", "poisson", "gamma"), help="gaps of --rate (default poisson; gamma with --burstiness)"
    )
    when.add_argument(
        "--sine", nargs=3, metavar=("MIN", "MAX", "PERIOD"), help="open loop that swings between two rates with a period in seconds"
    )
    how_much = parser.add_argument_group("how much")
    _add_keyed(how_much, HOW_MUCH)
    how_much.add_argument("--duration", metavar="S", help="open loop: measure what arrives in S seconds, instead of --requests")
    how_much.add_argument("--processes", metavar="P", help="load processes (default: as many as the rate of chunks needs)")
    _add_keyed(parser.add_argument_group("when a run is valid"), BOUNDS)
    _add_driver(parser.add_argument_group("who sends it"))
    _add_output(parser.add_argument_group("what becomes of it"))


def _add_keyed(group: argparse._ArgumentGroup, options: tuple[Keyed, ...]) -> None:
    for keyed in options:
        group.add_argument(keyed.option, metavar=keyed.metavar, help=keyed.help)


def _add_server(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", metavar="NAME", help="name under which it is served (default: the one that the server lists)")
    group.add_argument(
        "--tokenizer", metavar="DIR", help="directory with the model's tokenizer.json; without it the server's counts calibrate"
    )
    group.add_argument("--api", choices=("chat", "completions"), default="chat", help="chat, or text completions without a chat template")
    group.add_argument("--api-key-env", metavar="VARIABLE", help="environment variable that holds the API key")
    group.add_argument("--header", metavar="'NAME: VALUE'", action="append", default=[], help="sent with every request; repeatable")
    group.add_argument("--ca-file", metavar="FILE", help="authorities that the server's certificate is checked against")
    group.add_argument("--extra-body", metavar="JSON", help="object that is merged into every request body")
    group.add_argument(
        "--metrics-url", metavar="NAME=URL", action="append", default=[], help="Prometheus metrics to sample meanwhile; repeatable"
    )
    group.add_argument("--gpus", metavar="N", help="GPUs behind the URL, for throughput per GPU")


def _add_driver(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--driver", choices=("dynperf", "aiperf"), default="dynperf", help="load generator: ours (default), or AIPerf")
    group.add_argument("--aiperf-executable", metavar="PATH", help="executable of AIPerf in an environment of its own, for --driver aiperf")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--goodput",
        metavar="METRIC=TIME",
        nargs="+",
        action="extend",
        default=[],
        help="objectives, as ttft=0.5s itl=20ms latency=3s: count what meets all",
    )
    group.add_argument("--json", metavar="FILE", help="write everything as JSON")
    group.add_argument(
        "--records",
        metavar="FILE",
        help="write one JSON line per request, packed where FILE ends in .gz; further runs go to FILE with .run-2 in its name",
    )
    group.add_argument(
        "--aiperf",
        metavar="DIR",
        help="write AIPerf's two files of each run, DIR/run-1/profile_export_aiperf.json and profile_export.jsonl; "
        "with --driver aiperf all that it writes itself",
    )
    group.add_argument("--plan", action="store_true", help="say what would be sent and for how long, and send nothing")
