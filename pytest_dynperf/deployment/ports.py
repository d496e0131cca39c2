"""Ports that are free now. Whoever uses them may still lose the race, and then the whole start is tried once more."""

from __future__ import annotations

import contextlib
import random
import socket

from pytest_dynperf.errors import DeploymentError

FIRST, LAST = 20000, 32000
"""Below the kernel's ephemeral range (32768 and up), where any client could take one; below 32768 also for Dynamo's system ports."""


class PortTaken(DeploymentError):
    """A service found that somebody else has its port since it was chosen."""


def free_ports(count: int, *, start: int | None = None) -> tuple[int, ...]:
    """``count`` distinct ports of 20000 to 32000 that can be bound on 127.0.0.1 and on all interfaces, searched upwards from ``start``
    (random when ``None``, so that sessions on one host rarely meet).

    :raises DeploymentError: when there are not so many.
    """
    span = LAST - FIRST + 1
    offset = (random.randrange(span) if start is None else start - FIRST) % span
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for step in range(span):
            if len(found) == count:
                return tuple(found)
            port = FIRST + (offset + step) % span
            listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            with contextlib.suppress(OSError):
                listener.bind(("0.0.0.0", port))  # noqa: S104 -- bound, never listening: proves that neither loopback nor any address has it
                found.append(port)
        if len(found) == count:
            return tuple(found)
    msg = f"{count} free TCP ports are needed between {FIRST} and {LAST}, found {len(found)}: see what listens there (ss -ltn)"
    raise DeploymentError(msg)
