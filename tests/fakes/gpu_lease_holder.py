"""Another process that has GPUs leased, or the host."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from pytest_dynperf.deployment.lease import acquire_gpus, acquire_host
directory, session, wait, *uuids = sys.argv[1:]
options = dict(directory=Path(directory), wait_s=float(wait), describe="pytest in /somewhere")
lease = acquire_gpus(session, uuids, **options) if uuids else acquire_host(session, **options)
print("held", flush=True)
sys.stdin.readline()
lease.release()
print("released", flush=True)
sys.stdin.readline()
"""


class Other:
    """It says ``held`` when it has ``uuids``, or the host where there are none; told to go on, it releases and says ``released``."""

    def __init__(self, directory: Path, session_id: str, *uuids: str, wait_s: float = 0.0) -> None:
        argv = [sys.executable, "-c", PROGRAM, str(directory), session_id, str(wait_s), *uuids]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """Let it do the next thing."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()
