"""What this machine did meanwhile: the CPU time of everything on it, and what a hypervisor took away.

It explains noise and judges nothing: on a shared runner a neighbour's minute is in every figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPACITY, BUSY, STOLEN = "host.cpu_s", "host.busy_cpu_s", "host.stolen_cpu_s"
NOTEWORTHY_SHARE = 0.03
"""Of the CPU time of all cores, stolen: from here on a run carries a note. Quiet guests show less than .01."""


def host_counters() -> Mapping[str, float]:
    """CPU seconds of all cores since the machine was started: all there were, those not idle, and those that a hypervisor gave to other
    guests (absent where the system does not say). Ours are among the busy ones. Some 50 µs.
    """
    times = psutil.cpu_times()
    stolen = getattr(times, "steal", None)
    # Linux counts the time of guests of this machine in user time as well.
    capacity = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    found = {CAPACITY: capacity, BUSY: capacity - times.idle - getattr(times, "iowait", 0.0) - (stolen or 0.0)}
    return found if stolen is None else {**found, STOLEN: stolen}


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """By how much counters grew; those that only one reading has are left out, and those that began anew meanwhile."""
    return {name: after[name] - before[name] for name in after if name in before and after[name] >= before[name]}


def stolen_note(witness: Mapping[str, float]) -> tuple[str, ...]:
    """A sentence where a noteworthy share was stolen between the two readings that ``witness`` is the difference of."""
    capacity = witness.get(CAPACITY, 0.0)
    if not capacity > 0 or witness.get(STOLEN, 0.0) / capacity < NOTEWORTHY_SHARE:
        return ()
    share = witness[STOLEN] / capacity
    return (
        f"a hypervisor gave {share * 100:.0f} % of this machine's CPU time to other guests during the run: neighbours are in the figures",
    )
