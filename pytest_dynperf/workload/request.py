"""What one request asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One user message, ``content``, of ``isl`` tokens, chat template included; ``osl`` tokens are wanted back."""

    index: int
    content: str
    isl: int
    osl: int
