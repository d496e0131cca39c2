"""Waiting for services, with a deadline."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dynperf.deployment.launcher import Group, Service

DEADLINE_S = 30.0


def wait_for(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {deadline_s} s for {what}"
        time.sleep(0.02)


def wait_up(group: Group) -> None:
    """Wait until each service has said ``up``."""
    for service in group.services.values():
        wait_for(partial(_said_up, service), f"{service.spec.name} to be up")


def gone(pid: int) -> bool:
    """Whether no such process runs."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _said_up(service: Service) -> bool:
    assert service.ended() is None, service.log.read_bytes()
    return b"up\n" in service.log.read_bytes()
