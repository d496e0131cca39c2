"""Reads metrics pages at an interval and stores them as they came. Runs as a program of its own: ``python -I -S process.py``.

A process, because the load generator may live in the one that asks for this: what parses or waits there would hold up its event loop. It
runs at a lower priority. Standard library only, for a start that costs little; one thread for each URL, so that one that hangs delays no
other.

Standard input: one line of JSON, the fields of :func:`orders`; the next line, or its end (the session is gone), asks for the last reading
and ends the process. Standard output: frames, each a line of JSON (``target``, ``before_ns``, ``after_ns``, ``error`` or null, ``size``)
and ``size`` bytes of zlib with the page; the last one has ``cpu_s`` alone. Standard error: ``ready`` when every URL was asked once.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import sys
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READY = b"ready\n"
MAX_PAGE_BYTES = 4 << 20
BUDGET_BYTES = 256 << 20
"""Of compressed pages, over all URLs: at 1 s and four services of 80 KB each, about two hours."""

TIMEOUT_S = 2.0
NICENESS = 10
_HEADERS = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity", "User-Agent": "pytest-dynperf"}


def orders(
    urls: Sequence[str], *, interval_s: float, headers: Sequence[Mapping[str, str]], ca_file: str | None, budget_bytes: int = BUDGET_BYTES
) -> bytes:
    """The first line of standard input. ``headers`` has one entry per URL; they do not stand on the command line, where others see them."""
    fields = {"urls": urls, "interval_s": interval_s, "headers": headers, "ca_file": ca_file, "budget_bytes": budget_bytes}
    return json.dumps(fields).encode() + b"\n"


class _Output:
    """Frames, whole, from several threads, within the budget."""

    def __init__(self, budget_bytes: int) -> None:
        self._lock, self._left = threading.Lock(), budget_bytes

    def write(self, header: Mapping[str, object], payload: bytes = b"") -> None:
        with self._lock:
            if payload and len(payload) > self._left:
                header, payload = {**header, "error": "the space for readings is used up; what follows was not kept", "size": 0}, b""
            self._left -= len(payload)
            data = json.dumps(header).encode() + b"\n" + payload
            while data:
                data = data[os.write(1, data) :]


class _Page:
    """One URL, on a connection that is kept."""

    def __init__(self, url: str, headers: Mapping[str, str], ca_file: str | None) -> None:
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {**_HEADERS, **headers}
        host, port = parts.hostname or "", parts.port
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT_S, context=ssl.create_default_context(cafile=ca_file)
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)

    def read(self) -> tuple[bytes, str | None]:
        """The page and ``None``, or nothing and what went wrong."""
        fresh = self._connection.sock is None
        try:
            try:
                return self._exchange()
            except (http.client.RemoteDisconnected, ConnectionError):
                if fresh:
                    raise
                self._connection.close()  # a server may close what was idle for an interval
                return self._exchange()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            return b"", f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

    def _exchange(self) -> tuple[bytes, str | None]:
        deadline = time.monotonic() + TIMEOUT_S
        self._connection.request("GET", self._path, headers=self._headers)
        response = self._connection.getresponse()
        page = bytearray()
        while piece := response.read1(1 << 16):
            page += piece
            if len(page) > MAX_PAGE_BYTES:
                self._connection.close()
                return b"", f"the page has more than {MAX_PAGE_BYTES >> 20} MiB"
            if time.monotonic() > deadline:
                self._connection.close()
                return b"", f"the page was not complete after {TIMEOUT_S:g} s"
        left = response.length
        response.close()  # read1 does not notice the end by itself, and the connection would stay busy
        if left:
            self._connection.close()
            return b"", f"the page broke off {left} bytes before its end"
        return (bytes(page), None) if response.status == 200 else (b"", f"HTTP {response.status}")


def _watch(number: int, page: _Page, output: _Output, *, interval_s: float, ready: threading.Event, stop: threading.Event) -> None:
    due, last = time.monotonic(), False
    while True:
        before_ns = time.monotonic_ns()
        content, error = page.read()
        after_ns = time.monotonic_ns()
        payload = b"" if error else zlib.compress(content, 1)
        output.write({"target": number, "before_ns": before_ns, "after_ns": after_ns, "error": error, "size": len(payload)}, payload)
        ready.set()
        if last:
            return
        now = time.monotonic()
        due += interval_s * (1 + int((now - due) / interval_s))  # an interval that was missed is not made up for
        last = stop.wait(due - now)


def main() -> None:
    """Until standard input says otherwise."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    asked: Any = json.loads(sys.stdin.buffer.readline())
    output, stop = _Output(asked["budget_bytes"]), threading.Event()
    asked_once = [threading.Event() for _ in asked["urls"]]
    threads = []
    for number, (url, headers) in enumerate(zip(asked["urls"], asked["headers"], strict=True)):
        page = _Page(url, headers, asked["ca_file"])
        options = {"interval_s": asked["interval_s"], "ready": asked_once[number], "stop": stop}
        threads.append(threading.Thread(target=_watch, args=(number, page, output), kwargs=options, daemon=True))
    for thread in threads:
        thread.start()
    for event in asked_once:
        event.wait()
    with contextlib.suppress(BrokenPipeError):
        os.write(2, READY)
    sys.stdin.buffer.readline()
    stop.set()
    deadline = time.monotonic() + 2 * TIMEOUT_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    output.write({"cpu_s": time.process_time()})
    os._exit(0)  # a thread that still hangs in a read must not hold up the session


if __name__ == "__main__":
    main()
