"""What a container writes, byte for byte, in a file of this host that stays within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES = 256 << 20
"""So much of a log is written as it comes; of what follows, the end is kept."""
TAIL_BYTES = 1 << 20


class LogFile:
    """A file that holds the first 256 MiB of what is written and, once it is closed, the last MiB too. The directory is made.

    :raises OSError: when it cannot be written.
    """

    def __init__(self, path: Path, *, append: bool = False, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab" if append else "wb", buffering=0)
        self._left = max(0, head_bytes - self._file.tell())
        self._tail_bytes = tail_bytes
        self._tail = bytearray()
        self._dropped = 0

    def write(self, piece: bytes) -> None:
        """Take ``piece``. What does not fit is kept as long as it is within the last MiB."""
        head, rest = piece[: self._left], piece[self._left :]
        if head:
            self._file.write(head)
            self._left -= len(head)
        if rest:
            self._tail += rest
            beyond = len(self._tail) - self._tail_bytes
            # In steps as large as the tail itself: each byte is moved twice at most.
            if beyond > self._tail_bytes:
                del self._tail[:beyond]
                self._dropped += beyond

    def close(self) -> None:
        """Write the end, after a line that says how much is missing. May be called again."""
        if self._file.closed:
            return
        beyond = max(0, len(self._tail) - self._tail_bytes)
        if self._tail:
            del self._tail[:beyond]
            self._dropped += beyond
            if self._dropped:
                self._file.write(f"\n[{self._dropped} bytes of this log were left out here]\n".encode())
            self._file.write(self._tail)
            self._tail.clear()
        self._file.close()
