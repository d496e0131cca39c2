"""What is asked of the endpoint, and how often."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A closed loop: exactly ``concurrency`` requests in flight.

    ``isl`` includes the chat template. ``requests`` counts the measured requests of one run; ``None`` means max(30, 4 x concurrency).
    ``warmup_requests`` of ``None`` means max(2, concurrency). ``runs`` is R, the number of statistical units of a session.
    """

    isl: int
    osl: int
    concurrency: int
    requests: int | None = None
    warmup_requests: int | None = None
    runs: int = 3
    ignore_eos: bool = True
    request_timeout_s: float = 120.0
    inter_token_timeout_s: float = 30.0

    @property
    def request_count(self) -> int:
        """Measured requests of one run."""
        return self.requests if self.requests is not None else max(30, 4 * self.concurrency)

    @property
    def warmup_count(self) -> int:
        """Requests before the first measured one."""
        return self.warmup_requests if self.warmup_requests is not None else max(2, self.concurrency)

    @property
    def workload_hash(self) -> str:
        """Digest of what is asked; how often it is repeated (``runs``) and the deadlines do not belong to it."""
        facts = asdict(self) | {"requests": self.request_count, "warmup_requests": self.warmup_count}
        for name in ("runs", "request_timeout_s", "inter_token_timeout_s"):
            del facts[name]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
