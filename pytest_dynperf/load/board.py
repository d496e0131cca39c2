"""Counters that load processes share without messages: one row of 64-bit integers per process, each written by its process alone.

In one process they are plain memory, in several a mapped file. An aligned integer is read and written whole, so a reader may see an old
value and never a torn one.
"""

from __future__ import annotations

import mmap
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


class State(IntEnum):
    """How far a process is."""

    STARTING = 0
    LOADING = 1  # everything is loaded and connections are open; load begins at START_NS
    PARSING = 2


class Column(IntEnum):
    """What is counted, warm-up included unless it says measured. ``COLUMNS`` is how many there are."""

    STATE = 0
    BEAT_NS = 1  # when the process was last seen alive
    TAKEN = 2  # units of work begun
    SENT = 3
    ENDED = 4
    ERRORS = 5  # failed requests found so far
    MEASURED_ENDED = 6
    LATE = 7  # measured sends of an open loop, more than 1 ms after their time
    DROPPED = 8  # measured requests of an open loop that were not sent
    IN_FLIGHT = 9
    EVENTS = 10  # server-sent events with data, in flight and ended
    RATIO_TOKENS = 11  # tokens of ended requests that told how many they are
    RATIO_EVENTS = 12  # and the events that carried them
    START_NS = 13  # of the common row: the agreed start
    STOP = 14  # of the common row: end now
    COLUMNS = 15


class Board:
    """``rows[n]`` belongs to process n; ``common`` to whoever writes first."""

    def __init__(self, buffer: np.ndarray) -> None:
        self.rows = buffer[:-1]
        self.common = buffer[-1]

    @classmethod
    def in_memory(cls) -> Board:
        """Of one process."""
        return cls(np.zeros((2, Column.COLUMNS), dtype=np.int64))

    @classmethod
    def create(cls, path: Path, processes: int) -> Board:
        """A new file, and its map."""
        path.write_bytes(bytes(8 * (processes + 1) * Column.COLUMNS))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Board:
        """The map of a file that :meth:`create` made."""
        with path.open("r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
        return cls(np.frombuffer(mapped, dtype=np.int64).reshape(-1, Column.COLUMNS))

    def total(self, column: Column) -> int:
        """Over all processes."""
        return int(self.rows[:, column].sum())
