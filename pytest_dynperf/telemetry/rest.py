"""Whether engines have come to rest: a run that begins while they still work on what the one before left measures that too.

An open loop above what a server can do leaves a queue behind, and not every engine drops what its client has given up: before a run of
Dynamo's mocker 1.4.2 the queue of the one before was longer than every deadline of its own.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, NamedTuple

import httpx

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.telemetry.names import BY_SAMPLE
from pytest_dynperf.telemetry.prometheus import parse
from pytest_dynperf.telemetry.sampler import headers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.endpoint import Endpoint

PATIENCE_S = 120.0
STILL_S = 5.0
"""Nothing moved for as long: an engine may leave its gauges as they were at its last step and say 1 for ever.
A step of a long prompt may take seconds too: it should be shorter than this."""
_POLL_S = 0.1
_TIMEOUT_S = 2.0


def _names(series: set[str], parts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(
        name for name, meanings in BY_SAMPLE.items() if any(entry.series in series and part in parts for entry, part in meanings)
    )


_AT_WORK = _names({ids.ENGINE_REQUESTS_RUNNING, ids.ENGINE_REQUESTS_WAITING}, ("",))
# Requests that decode side by side leave the gauges alone for as long as they take.
_DONE = _names({ids.ENGINE_GENERATED_TOKENS, ids.ENGINE_PROMPT_TOKENS, ids.ENGINE_INTER_TOKEN_LATENCY}, ("", ids.COUNT))


class _Standing(NamedTuple):
    """Of one engine: requests that run or wait, and what it has done so far, in whatever it counts."""

    at_work: float
    done: float


def unrest(endpoint: Endpoint, *, patience_s: float = PATIENCE_S, still_s: float = STILL_S) -> str | None:
    """Wait until the engines behind ``endpoint`` have no request, or nothing has moved in them for ``still_s``; ``None`` then, and where no
    engine tells. A few milliseconds where they rest already. One that does not answer in time is busy; one that has gone stays as it was.

    Returns what they were still at, in words, when that goes on for ``patience_s``.
    """
    began_s = since_s = time.monotonic()
    tls = any(url.startswith("https") for _, url in endpoint.metrics_urls)
    verify = ssl.create_default_context(cafile=endpoint.ca_file) if tls else False
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False, verify=verify) as client:
        before = _standings(client, endpoint, {})
        while any(one is None or one.at_work for one in before.values()):
            now_s = time.monotonic()
            if now_s - since_s >= still_s:
                return None
            if now_s - began_s >= patience_s:
                return _said(before, patience_s)
            time.sleep(_POLL_S)
            after = _standings(client, endpoint, before)
            if after != before or None in after.values():
                before, since_s = after, time.monotonic()
    return None


def _standings(client: httpx.Client, endpoint: Endpoint, before: Mapping[str, _Standing | None]) -> dict[str, _Standing | None]:
    """By service; ``None`` where one did not answer in time, and nothing for those that do not say."""
    found: dict[str, _Standing | None] = {}
    for source, url in endpoint.metrics_urls:
        try:
            page = client.get(url, headers=headers_of(endpoint, url))
        except httpx.TimeoutException:
            found[source] = None
            continue
        except httpx.HTTPError:
            page = None
        samples = parse(page.text, wanted=_AT_WORK | _DONE).samples if page is not None and page.status_code == httpx.codes.OK else ()
        if any(sample.name in _AT_WORK for sample in samples):
            at_work, done = (sum(sample.value for sample in samples if sample.name in names) for names in (_AT_WORK, _DONE))
            found[source] = _Standing(at_work, done)
        elif source in before:
            found[source] = before[source]
    return found


def _said(standings: Mapping[str, _Standing | None], patience_s: float) -> str:
    each = ", ".join(
        f"{source} does not answer" if one is None else f"{source} {one.at_work:g}"
        for source, one in sorted(standings.items())
        if one is None or one.at_work
    )
    return (
        f"engines were still at work on what had been asked before the run: requests running or waiting after {patience_s:g} s: {each}. "
        "Ask for less at a time, or for fewer requests."
    )
