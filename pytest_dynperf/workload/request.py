"""What one request asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One user message, ``content``, after the turns of ``history`` (what the user said, what the assistant answered).

    ``isl`` tokens in all, chat template included; ``osl`` tokens are wanted back. ``images`` are ``data:`` URLs that stand before the text.

    ``at_s``: when a trace sends it, in seconds after its first request. ``conversation`` names what ``turn`` (from 0) belongs to: the turns
    of one conversation follow each other, ``delay_s`` after the end of the one before, on one connection.

    ``item`` names the question of a set that is asked, stable from run to run; ``subject`` its group, ``expected`` the right answer. The
    server ends its answer before any of ``stop``.
    """

    index: int
    content: str
    isl: int
    osl: int
    history: tuple[tuple[str, str], ...] = ()
    images: tuple[str, ...] = ()
    at_s: float | None = None
    conversation: str | None = None
    turn: int = 0
    delay_s: float = 0.0
    item: str | None = None
    subject: str | None = None
    expected: str | None = None
    stop: tuple[str, ...] = ()
