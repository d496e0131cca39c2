"""Whether engines have come to rest: a run that begins while they still work on what the one before left measures that too.

An open loop above what a server can do leaves a queue behind, and not every engine drops what its client has given up: before a run of
Dynamo's mocker 1.4.2 the queue of the one before was longer than every deadline of its own.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import httpx

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.telemetry.names import BY_SAMPLE
from pytest_dynperf.telemetry.prometheus import parse
from pytest_dynperf.telemetry.sampler import headers_of

if TYPE_CHECKING:
    from pytest_dynperf.endpoint import Endpoint

PATIENCE_S = 120.0
STILL_S = 5.0
"""Unchanged for as long counts as rest: an engine may leave its gauges as they were at its last step and say 1 for ever. A single step may
take seconds too, of a long prompt: it should be shorter than this."""
_POLL_S = 0.1
_TIMEOUT_S = 2.0
_AT_WORK = frozenset({ids.ENGINE_REQUESTS_RUNNING, ids.ENGINE_REQUESTS_WAITING})
_NAMES = tuple(name for name, meanings in BY_SAMPLE.items() if any(entry.series in _AT_WORK for entry, _ in meanings))


def unrest(endpoint: Endpoint, *, patience_s: float = PATIENCE_S, still_s: float = STILL_S) -> str | None:
    """Wait until the engines behind ``endpoint`` have no request, or have the same ones for ``still_s``; ``None`` then, and where no engine
    tells. A few milliseconds where they rest already.

    Returns what they were still at, in words, when that goes on changing for ``patience_s``.
    """
    began_s = since_s = time.monotonic()
    tls = any(url.startswith("https") for _, url in endpoint.metrics_urls)
    verify = ssl.create_default_context(cafile=endpoint.ca_file) if tls else False
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False, verify=verify) as client:
        before = _at_work(client, endpoint)
        while any(before.values()):
            now_s = time.monotonic()
            if now_s - since_s >= still_s:
                return None
            if now_s - began_s >= patience_s:
                return _said(before, patience_s)
            time.sleep(_POLL_S)
            after = _at_work(client, endpoint)
            if after != before:
                before, since_s = after, time.monotonic()
    return None


def _at_work(client: httpx.Client, endpoint: Endpoint) -> dict[str, float]:
    """Requests that run or wait, by service; those that do not say are missing."""
    found: dict[str, float] = {}
    for source, url in endpoint.metrics_urls:
        try:
            page = client.get(url, headers=headers_of(endpoint, url))
        except httpx.HTTPError:
            continue
        if page.status_code == httpx.codes.OK:
            samples = parse(page.text, wanted=_NAMES).samples
            if samples:
                found[source] = sum(sample.value for sample in samples)
    return found


def _said(at_work: dict[str, float], patience_s: float) -> str:
    each = ", ".join(f"{source} {count:g}" for source, count in sorted(at_work.items()) if count)
    return (
        f"engines were still at work on what had been asked before the run: requests running or waiting after {patience_s:g} s: {each}. "
        "Ask for less at a time, or for fewer requests."
    )
