"""Independent random streams from one seed."""

from __future__ import annotations

import hashlib
import json


def stream_seed(seed: int, *names: str) -> int:
    """A 64-bit seed for the stream that ``names`` name.

    The same on every machine and in every Python (SHA-256, not ``hash``); streams with different names are independent, so adding one
    does not move the others. ``("ab", "c")`` and ``("a", "bc")`` are different streams.
    """
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big")
