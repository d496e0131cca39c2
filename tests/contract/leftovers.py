"""The proof that a session leaves nothing in the container engine, whatever others do there meanwhile."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING

import pytest

from tests.images.engine import turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

REMOVED_S = 15.0
"""An engine removes in its own time."""


@contextlib.contextmanager
def leaving_nothing(engine: DockerClient) -> Iterator[str]:
    """The id of a session of its own, of which no container and no network may be there at the end. What is left is removed.

    Takes turns with other tests that look at everything in the engine, and would remove what is not theirs.
    """
    session = f"test{secrets.token_hex(4)}"
    with turn("containers"):
        yield session
        deadline = time.monotonic() + REMOVED_S
        while (left := _left(engine, session)) and time.monotonic() < deadline:
            time.sleep(0.1)
        for kind, one in left.items():
            with contextlib.suppress(Exception):
                engine.api.remove_network(one) if kind.startswith("network") else engine.api.remove_container(one, force=True, v=True)
    if left:
        pytest.fail(f"left behind in the container engine: {', '.join(left)}", pytrace=False)


def _left(engine: DockerClient, session: str) -> dict[str, str]:
    """What there is, containers first, and its id."""
    marked = {"label": f"org.pytest-dynperf.session={session}"}
    containers = {f"container {one['Names'][0]}": str(one["Id"]) for one in engine.api.containers(all=True, filters=marked)}
    return containers | {f"network {one['Name']}": str(one["Id"]) for one in engine.api.networks(filters=marked)}
