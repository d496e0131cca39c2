"""What a cache that forgets nothing would have of a stream of prompts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence


def expected_hit_rate(prompts: Iterable[Sequence[Hashable]], *, block_size: int) -> float | None:
    """Σ tokens in the leading blocks that an earlier prompt had as well ÷ Σ tokens; ``None`` without any token.

    Blocks are of ``block_size`` tokens and full ones only, as vLLM and Dynamo's router hash them: one is the same where it and all before
    it are. A prompt is its tokens in order, such as :meth:`PromptSource.tokens` gives. One request at a time: in a concurrent load those
    that start together do not find each other's blocks. Time and memory are linear in the tokens.
    """
    seen: dict[tuple[int, tuple[Hashable, ...]], int] = {}
    shared = total = 0
    for tokens in prompts:
        total += len(tokens)
        parent = 0
        for start in range(0, len(tokens) - block_size + 1, block_size):
            block = (parent, tuple(tokens[start : start + block_size]))
            # A parent that is new has no children yet: what is in `seen` was preceded by the same blocks.
            shared += block_size * (block in seen)
            parent = seen.setdefault(block, len(seen) + 1)
    return shared / total if total else None
