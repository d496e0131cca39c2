"""What a request must meet to count as good."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """Upper bounds in seconds, each met by a request whose own value is not above it. ``None``: nothing is stated about it."""

    time_to_first_token_s: float | None = None
    inter_token_latency_s: float | None = None
    request_latency_s: float | None = None
    effective_latency_s: float | None = None


NOTHING_STATED = Objectives()
