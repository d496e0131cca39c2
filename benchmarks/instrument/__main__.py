"""How true and how cheap the load generator is, beside other clients::

    python -m benchmarks.instrument                                      # the comparison: about ten minutes
    python -m benchmarks.instrument --nagle --levels 4:10 --ttft-ms 10   # against a server that leaves Nagle's algorithm on
    python -m benchmarks.instrument --processes 1,2                      # what a second load process costs
    python -m benchmarks.instrument --busy client --levels 128:10        # what a busy machine does to the figures, and to the certificate

A server in C logs every send (``server.c``); clients take turns against it; what they saw is compared with what it did, chunk by chunk. Run
it on a quiet machine with two free cores. Prints Markdown; what it does meanwhile goes to standard error.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.instrument import table
from benchmarks.instrument.trial import Level, Place, may_renice, trial
from benchmarks.instrument.truth import server

if TYPE_CHECKING:
    from benchmarks.instrument.comparison import Result
    from benchmarks.instrument.seen import Seen

LEVELS = "1:10,32:10,128:10,512:20"
HTTPX_MOST = 128  # beyond it a repetition takes minutes


def _options(arguments: list[str] | None) -> argparse.Namespace:
    words = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instrument", description=words[0].rstrip(":"))
    parser.add_argument("--levels", default=LEVELS, help="streams:ITL in ms, separated by commas (default: %(default)s)")
    parser.add_argument("--clients", default="dynperf,httptools,aiohttp,httpx", help="which, in turns (default: %(default)s)")
    parser.add_argument("--aiperf", type=Path, help="executable of AIPerf: compare it too")
    parser.add_argument("--aiperf-tokenizer", default="builtin", help="directory of one; its own it downloads (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--ttft-ms", type=int, default=50)
    parser.add_argument("--osl", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="requests per stream in one repetition")
    parser.add_argument("--nagle", action="store_true", help="the server does not set TCP_NODELAY")
    parser.add_argument("--usage-in-every-chunk", action="store_true", help="as with vLLM's continuous usage")
    parser.add_argument("--client-core", type=int, default=0, help="-1: no binding")
    parser.add_argument("--server-core", type=int, default=1, help="-1: no binding")
    parser.add_argument("--nice", type=int, default=-10, help="of client and server, where that is allowed (default: %(default)s)")
    parser.add_argument("--spin", action="store_true", help="the server never sleeps: needs a core of its own")
    parser.add_argument("--busy", choices=("server", "client"), help="ours alone, with a process that spins on that core")
    parser.add_argument("--processes", help="ours alone, with so many load processes: 1,2")
    return parser.parse_args(arguments)


def _place(options: argparse.Namespace) -> Place:
    niceness = options.nice
    if not may_renice(niceness):
        print(f"niceness {niceness} is not allowed here: client and server run at 0, and other programs disturb them", file=sys.stderr)
        niceness = 0
    client = frozenset({options.client_core}) if options.client_core >= 0 else None
    core = options.server_core if options.server_core >= 0 else None
    busy = {"server": options.server_core, "client": options.client_core, None: None}[options.busy]
    return Place(client=client, server=core, busy=busy, niceness=niceness)


def _clients(options: argparse.Namespace) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name in the table, kind, and what more it is told."""
    if options.processes:
        return [(f"dynperf, processes: {number}", "dynperf", (number,)) for number in options.processes.split(",")]
    if options.busy:
        return [("dynperf", "dynperf", ("1",))]
    clients: list[tuple[str, str, tuple[str, ...]]] = []
    for kind in options.clients.split(","):
        if kind in {"httpx", "aiohttp", "httptools"} and importlib.util.find_spec(kind) is None:
            print(f"{kind} is not installed and is left out: pip install {kind}", file=sys.stderr)
            continue
        clients.append((kind, kind, ("1",)))
    if options.aiperf:
        clients.append(("AIPerf, start-up included", "aiperf", (str(options.aiperf), options.aiperf_tokenizer)))
    return clients


def _measured(level: Level, options: argparse.Namespace, place: Place) -> dict[str, list[tuple[Seen, Result]]]:
    found = defaultdict(list)
    script = {"ttft_us": options.ttft_ms * 1000, "itl_us": level.itl_ms * 1000, "tokens": 0, "nodelay": int(not options.nagle)}
    script |= {"usage": 2 if options.usage_in_every_chunk else 1, "spin": int(options.spin)}
    with server(core=place.server, niceness=place.niceness, **script) as truth:
        for repetition in range(options.repetitions):
            for name, kind, more in _clients(options):
                if kind == "httpx" and level.streams > HTTPX_MOST:
                    continue
                print(f"{level.streams} streams, repetition {repetition + 1}: {name}", file=sys.stderr)
                try:
                    found[name].append(trial(kind, level, truth, place, more=more))
                except RuntimeError as error:
                    if kind == "dynperf":
                        raise
                    print(f"left out: {error}", file=sys.stderr)
                    truth.taken()
    return found


def _print_certificate(trials: list[tuple[Seen, Result]]) -> None:
    """What our certificate says: medians over the repetitions, and the verdict of the last."""
    certificates = [seen.facts["certificate"] for seen, _ in trials]
    words = []
    for key in ("send_lag_p99_s", "receive_lag_p99_s", "loop_lag_p99_s", "loop_lag_max_s"):
        values = [certificate[key] for certificate in certificates if certificate[key] is not None]
        if values:
            words.append(f"{key.removesuffix('_s').replace('_', ' ')} {median(values) * 1e3:.2f} ms")
    delays = [process["run_delay_s"] for certificate in certificates for process in certificate["processes"]]
    if None not in delays:
        words.append(f"waited for a core {median(delays):.2f} s")
    uncertain = [certificate["uncertain_share"] for certificate in certificates]
    if None not in uncertain:
        words.append(f"uncertain chunks {median(uncertain):.2%}")
    print(f"\nCertificate: {', '.join(words)}.")
    print("Verdict: " + ("; ".join(trials[-1][0].facts["invalid"]) or "valid") + ".")


def _print_windows(found: dict[str, list[tuple[Seen, Result]]]) -> None:
    """CPU within the window alone: without the start of processes, and without the parsing, which comes after it."""
    print("\nCPU ms per 1,000 chunks, window alone:")
    for name, trials in found.items():
        print(f"{name}: {median(seen.facts['window_cpu_s'] * 1e6 / seen.facts['window_chunks'] for seen, _ in trials):.2f}")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    options = _options(arguments)
    place = _place(options)
    cores = f"client on core {options.client_core}, server on core {options.server_core}, niceness {place.niceness}"
    print(f"{os.cpu_count()} cores, CPython {platform.python_version()}, {platform.system()} {platform.release()}; {cores};", end=" ")
    print(f"TTFT {options.ttft_ms} ms, {options.osl} tokens, medians of {options.repetitions}.\n")
    print(table.HEADER, flush=True)
    for text in options.levels.split(","):
        streams, itl_ms = map(int, text.split(":"))
        level = Level(streams=streams, itl_ms=itl_ms, osl=options.osl, rounds=5 if options.busy else options.rounds)
        found = _measured(level, options, place)
        for name, trials in found.items():
            print(table.row(level, name, [result for _, result in trials]), flush=True)
        if options.busy:
            _print_certificate(trials)
        if options.processes:
            _print_windows(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
