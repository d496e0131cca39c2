"""The server that knows what it did: built from ``server.c``, started, told what to do, and its log read.

In: a script (the keys that ``server.c`` documents). Out: :class:`Truth`, numpy arrays in CLOCK_MONOTONIC ns. Needs a C compiler and Linux.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_REQUEST = np.dtype([("id", "S40"), ("received_ns", "<i8")])
_SENT = np.dtype([("ns", "<i8"), ("late_ns", "<i4"), ("request", "<u4"), ("kind", "<u2"), ("tokens", "<u2"), ("pad", "<u4")])
CONTENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the server did. ``requests``: ``id`` (X-Request-ID) and ``received_ns``, when it had read all of it. ``sends``: in order,
    ``ns`` just before the send, ``late_ns`` after it was due, ``request`` (position in ``requests``), ``kind`` (2: content), ``tokens``.
    """

    requests: NDArray[np.void]
    sends: NDArray[np.void]

    def content_ns(self) -> dict[str, NDArray[np.int64]]:
        """Of each request, by its id: the instants of its content sends."""
        content = self.sends[self.sends["kind"] == CONTENT]
        content = content[np.argsort(content["request"], kind="stable")]
        edges = np.searchsorted(content["request"], np.arange(len(self.requests) + 1))
        ids = [name.decode() for name in self.requests["id"].tolist()]
        return {name: content["ns"][edges[i] : edges[i + 1]].astype(np.int64) for i, name in enumerate(ids)}

    def received_ns(self) -> dict[str, int]:
        """Of each request, by its id."""
        return {
            name.decode(): int(at) for name, at in zip(self.requests["id"].tolist(), self.requests["received_ns"].tolist(), strict=True)
        }

    @property
    def chunks(self) -> int:
        """Content chunks that were sent."""
        return int((self.sends["kind"] == CONTENT).sum())

    @property
    def late_p99_s(self) -> float:
        """How late the server itself was: beyond a millisecond it cannot keep up."""
        late = self.sends["late_ns"][self.sends["kind"] == CONTENT]
        return float(np.percentile(late, 99)) / 1e9 if len(late) else 0.0


class Server:
    """A running server. ``url`` is its base URL; the model is called ``instrument``."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process, self._log = process, directory / "truth.bin"
        self.url = f"http://127.0.0.1:{self._line()}"

    def taken(self) -> Truth:
        """All that was logged since the last call. Ends what is still being answered."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"dump {self._log}\n")
        self._process.stdin.flush()
        self._line()
        data = self._log.read_bytes()
        counts = np.frombuffer(data, "<i8", 2)
        requests = np.frombuffer(data, _REQUEST, counts[0], offset=16)
        return Truth(requests=requests, sends=np.frombuffer(data, _SENT, counts[1], offset=16 + requests.nbytes))

    @property
    def cpu_s(self) -> float:
        """CPU time of the server since it began."""
        # User and system time are fields 14 and 15; the second is the command's name, in parentheses.
        ticks = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            msg = f"the server of known times ended with status {self._process.wait(10)}"
            raise RuntimeError(msg)
        return line


@contextmanager
def server(*, core: int | None = None, niceness: int = 0, **script: int) -> Iterator[Server]:
    """Build it, and run it on ``core`` at that priority until the block ends. ``script``: the keys of ``server.c``; each request may have
    its own.

    :raises RuntimeError: where it cannot be built or does not start.
    """
    if sys.platform != "linux":
        msg = "the server of known times needs epoll: run this on Linux"
        raise RuntimeError(msg)
    with TemporaryDirectory() as name:
        binary = Path(name) / "server"
        compiler = os.environ.get("CC", "cc")
        try:
            subprocess.run(
                [compiler, "-O2", "-o", binary, Path(__file__).with_name("server.c")], check=True, capture_output=True, text=True
            )
        except FileNotFoundError as error:
            msg = f"no C compiler {compiler!r}: install one, or name it in CC"
            raise RuntimeError(msg) from error
        except subprocess.CalledProcessError as error:
            msg = f"{compiler} cannot build server.c: {error.stderr}"
            raise RuntimeError(msg) from error
        arguments = [str(binary), *(f"{key}={value}" for key, value in script.items())]
        # Leaving the block closes its standard input, and that ends it.
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
            yield Server(process, Path(name))
