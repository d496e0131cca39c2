"""Units of work for a load process: from memory, or from a file that another process appends to."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec

from pytest_dynperf.load.ask import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

_LENGTH_BYTES = 4
_END = bytes(_LENGTH_BYTES)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Unit).decode


class Supply(Protocol):
    """Where units of work come from."""

    @property
    def exhausted(self) -> bool:
        """Whether nothing will come any more."""

    def take(self) -> Unit | None:
        """The next one, or ``None`` where there is none now."""


class Prepared:
    """What was made before, and then what is made on the fly."""

    def __init__(self, ready: Iterable[Unit], more: Iterator[Unit]) -> None:
        self._ready, self._more = deque(ready), more
        self.exhausted = False

    def take(self) -> Unit | None:
        """The next one; whatever making it raises comes out."""
        if self._ready:
            return self._ready.popleft()
        unit = next(self._more, None)
        self.exhausted = unit is None
        return unit


class SpoolWriter:
    """Appends units to a file: four bytes of length (big-endian), then MessagePack; a length of 0 is the end."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb", buffering=0)
        self.units = 0

    def write(self, units: Iterable[Unit]) -> None:
        """Each unit in one write, so a reader finds whole ones as a rule."""
        for unit in units:
            data = _encode(unit)
            self._file.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
            self.units += 1

    def end(self) -> None:
        """Nothing will come any more."""
        self._file.write(_END)

    def close(self) -> None:
        """Without a word to the reader."""
        self._file.close()


class Spool:
    """What a :class:`SpoolWriter` wrote, as far as it has come; ``take`` looks into the file when nothing else is left."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""
        self._ready: deque[Unit] = deque()
        self._ended = False
        self._read()

    @property
    def exhausted(self) -> bool:
        """Whether the end was read and everything taken."""
        return self._ended and not self._ready

    def take(self) -> Unit | None:
        """The next one, or ``None`` where nothing more has been written yet."""
        if not self._ready and not self._ended:
            self._read()
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _read(self) -> None:
        data = self._rest + self._file.read()
        start = 0
        while len(data) - start >= _LENGTH_BYTES and not self._ended:
            stop = start + _LENGTH_BYTES + int.from_bytes(data[start : start + _LENGTH_BYTES], "big")
            if stop == start + _LENGTH_BYTES:
                self._ended = True
            elif stop > len(data):
                break
            else:
                self._ready.append(_decode(data[start + _LENGTH_BYTES : stop]))
            start = stop
        self._rest = data[start:]
