"""Who is ended, how, and when: drawn from a seed."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
ALONE, CONTROLLER, XDIST_WORKER = "pytest", "controller", "xdist worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """``moment`` is a fraction of how long a session takes that nobody ends; 0 and just above 1 occur too. ``worker`` picks the xdist
    worker.
    """

    number: int
    launcher: str
    xdist_workers: int
    target: str
    signal: signal.Signals
    moment: float
    worker: int

    def __str__(self) -> str:
        workers = f" -n {self.xdist_workers}" if self.xdist_workers else ""
        return f"{self.number:>3} {self.launcher}{workers} {self.signal.name} to {self.target}"


def kills(count: int, seed: int, launchers: Sequence[str]) -> list[Kill]:
    """``count`` of them, the launchers in turn; half of the sessions are distributed."""
    random_ = random.Random(seed)
    return [_kill(number, launchers[(number - 1) % len(launchers)], random_) for number in range(1, count + 1)]


def _kill(number: int, launcher: str, random_: random.Random) -> Kill:
    xdist_workers = random_.choice((0, 2))
    return Kill(
        number=number,
        launcher=launcher,
        xdist_workers=xdist_workers,
        target=random_.choice((CONTROLLER, XDIST_WORKER)) if xdist_workers else ALONE,
        signal=random_.choice(SIGNALS),
        moment=random_.uniform(0.0, 1.05),
        worker=random_.randrange(2),
    )
