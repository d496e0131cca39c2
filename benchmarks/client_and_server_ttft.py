"""Does the client see the time to first token that the server saw? Against a running Dynamo, on reused connections::

    python benchmarks/client_and_server_ttft.py --url http://127.0.0.1:8000 --model NAME --tokenizer DIR

Prints the medians of the client's TTFT, of the server's own (``nvext.timing``) and of their difference per request, at concurrency 1 and 8.
A difference of some 20 ms at any concurrency is the delayed acknowledgement that ``TCP_QUICKACK`` is there to prevent; one that grows with
the server's TTFT would be an instrument that scales. Exits with 1 where the server reported no timing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.load.run import run_load
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.workload.prompt_tokenized import TokenizedPrompts
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.synthetic import synthetic_requests
from pytest_dynperf.workload.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording


def _row(recording: Recording) -> str | None:
    pairs = [
        ((record.chunk_ns[0] - record.sent_ns) / 1e6, record.server_ttft_s * 1e3)
        for record in recording.measured
        if record.error is None and record.connection_reused and record.sent_ns is not None and record.server_ttft_s is not None
    ]
    if not pairs:
        return None
    client, server = (statistics.median(side) for side in zip(*pairs, strict=True))
    difference = statistics.median(ours - theirs for ours, theirs in pairs)
    send, receive = recording.certificate.send_lag_p99_s or 0.0, recording.certificate.receive_lag_p99_s or 0.0
    return (
        f"{recording.concurrency:>11} {len(pairs):>8} {client:>9.2f} {server:>9.2f} {difference:>10.2f} "
        f"{send * 1e3:>12.2f} {receive * 1e3:>15.2f} {recording.certificate.mean_in_flight or 0:>9.2f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="base URL of a running Dynamo frontend")
    parser.add_argument("--model", required=True, help="the served model's name")
    parser.add_argument("--tokenizer", required=True, type=Path, help="directory of the served model")
    parser.add_argument("--isl", type=int, default=180)
    parser.add_argument("--osl", type=int, default=32)
    parser.add_argument("--requests", type=int, default=64)
    # A fixed seed would meet a warm prefix cache the second time.
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="of the prompts (default: another one every time)")
    options = parser.parse_args()
    source = TokenizedPrompts(load_tokenizer(options.tokenizer))
    endpoint = Endpoint(base_url=options.url, model=options.model, extra_body=(("nvext", {"extra_fields": ["worker_id", "timing"]}),))
    print("concurrency requests client ms server ms difference send lag p99 receive lag p99 in flight")
    for concurrency in (1, 8):
        traffic = Traffic(isl=options.isl, osl=options.osl, concurrency=concurrency, requests=options.requests)
        requests = synthetic_requests(source, isl=options.isl, osl=options.osl, seed=stream_seed(options.seed, str(concurrency)))
        recording = run_load(endpoint, requests, traffic, run=str(concurrency), seed=options.seed, records_path=None)
        row = _row(recording)
        if row is None:
            failures = {record.error.detail for record in recording.measured if record.error is not None}
            print(f"no request was answered with the server's timing: {'; '.join([*failures, *recording.incidents])}", file=sys.stderr)
            return 1
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
