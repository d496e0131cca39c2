"""What a fault proxy does to what passes through it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields

BYTES = ("latency_s", "bytes_per_s", "drip_s", "refuse", "reset_after_bytes", "truncate_after_bytes", "stall_after_bytes")
"""Faults of any stream of bytes."""

_PLAIN = ("jitter_s", "after", "times", "paths")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """All at once, on what the server sends. The defaults disturb nothing.

    Any protocol: ``latency_s`` before each piece, up to ``jitter_s`` more; ``bytes_per_s``; ``drip_s`` between single bytes; ``refuse``
    resets a connection (HTTP: at a request) unanswered; after so many bytes, HTTP head included, the connection is reset (RST), closed
    (truncated: FIN), or stays open without another byte (``stall_after_bytes``, until the proxy heals).
    HTTP: ``status`` answers in the server's place; ``zero_tokens`` is a complete stream without content; ``endless`` a line that never
    ends, up to so many bytes; ``without_done`` ends a stream without ``[DONE]``; after so many events, one that is no JSON, or an error
    with ``[DONE]`` behind it and nothing else.
    ``after``: so many connections (HTTP: requests) come through first; ``times``: how many then meet it, and no more; ``None``: all.
    ``paths`` that begin so are disturbed, HTTP only.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    drip_s: float = 0.0
    refuse: bool = False
    reset_after_bytes: int | None = None
    truncate_after_bytes: int | None = None
    stall_after_bytes: int | None = None
    status: int | None = None
    zero_tokens: bool = False
    endless: int | None = None
    without_done: bool = False
    malformed_after_events: int | None = None
    error_after_events: int | None = None
    after: int = 0
    times: int | None = None
    paths: tuple[str, ...] = ("/v1/chat/completions", "/v1/completions")

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it does, by the names of its fields: what a proxy counts."""
        asked = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _PLAIN}
        return tuple(
            name for name, value in asked.items() if value is not None and value is not False and (name not in _TIMES or value > 0)
        )

    @property
    def needs_http(self) -> tuple[str, ...]:
        """Those of :attr:`kinds` that a proxy of bytes cannot do."""
        return tuple(kind for kind in self.kinds if kind not in BYTES)


_TIMES = ("latency_s", "drip_s")
UNDISTURBED = Disturbance()
