"""What a client saw of the requests that it made, and what that cost it. Written by the client's process, read by the one that compares."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One complete answer: when the request was sent, and the stamp of each content chunk, CLOCK_MONOTONIC ns."""

    request_id: str
    sent_ns: int
    chunk_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """``cpu_s``: user and system time of the client's process (or processes) over its load. ``failed`` requests are in no other number.
    ``facts``: what the client says about itself (our certificate).
    """

    exchanges: tuple[Exchange, ...]
    failed: int
    cpu_s: float
    facts: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """As one npz file."""
        np.savez(
            path,
            ids=np.array([exchange.request_id for exchange in self.exchanges], dtype="U64"),
            sent_ns=np.array([exchange.sent_ns for exchange in self.exchanges], dtype=np.int64),
            counts=np.array([len(exchange.chunk_ns) for exchange in self.exchanges], dtype=np.int64),
            chunk_ns=np.array([stamp for exchange in self.exchanges for stamp in exchange.chunk_ns], dtype=np.int64),
            facts=np.array(json.dumps({"failed": self.failed, "cpu_s": self.cpu_s} | self.facts)),
        )


def load(path: Path) -> Seen:
    """What :meth:`Seen.save` wrote."""
    with np.load(path) as file:
        edges = np.concatenate([[0], np.cumsum(file["counts"])]).tolist()
        stamps, ids, sent = file["chunk_ns"].tolist(), file["ids"].tolist(), file["sent_ns"].tolist()
        facts = json.loads(str(file["facts"]))
    exchanges = tuple(
        Exchange(request_id=name, sent_ns=sent[i], chunk_ns=tuple(stamps[edges[i] : edges[i + 1]])) for i, name in enumerate(ids)
    )
    return Seen(exchanges=exchanges, failed=facts.pop("failed"), cpu_s=facts.pop("cpu_s"), facts=facts)
