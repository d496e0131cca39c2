"""What these tests need of the machine."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_SO_TIMESTAMPNS = 35


@pytest.fixture(scope="session", autouse=True)
def _kernel_stamps() -> Iterator[None]:
    """The kernel begins to stamp some time after the first socket asked for it: wait until it does, and keep it at it."""
    if sys.platform != "linux":
        yield
        return
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as sender:
        receiver, _ = listening.accept()
        with receiver:
            receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            deadline_s = time.monotonic() + 30
            stamped: list[tuple[int, int, bytes]] = []
            while not stamped:
                assert time.monotonic() < deadline_s, "the kernel stamps nothing that it receives"
                sender.send(b"x")
                _, stamped, _, _ = receiver.recvmsg(1, socket.CMSG_SPACE(16))
            yield
