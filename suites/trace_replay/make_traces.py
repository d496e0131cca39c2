"""The four traces beside this file, made from a seed: ``python suites/trace_replay/make_traces.py`` writes them again, byte for byte.

They are ours, modelled on what public traces are said to look like, and hold nobody's data. Blocks have 128 tokens.
"""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.workload.sine import Kind, Sine, Swing, sine_trace
from pytest_dynperf.workload.trace import TraceEntry, blocks_of, write_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_SIZE = 128
REQUESTS = 200
DURATION_S = 50.0


class _Text:
    """A prompt that only grows: its full blocks keep their hashes, one that is not full has a hash of its own each time."""

    def __init__(self, ids: Iterator[int], blocks: tuple[int, ...] = ()) -> None:
        self._ids = ids
        self._full = list(blocks)
        self.tokens = len(blocks) * BLOCK_SIZE

    def grow(self, tokens: int) -> None:
        """``tokens`` more."""
        self.tokens += tokens
        self._full += [next(self._ids) for _ in range(self.tokens // BLOCK_SIZE - len(self._full))]

    def hashes(self) -> tuple[int, ...]:
        """One for each block that has begun."""
        return (*self._full, *(next(self._ids) for _ in range(blocks_of(self.tokens, BLOCK_SIZE) - len(self._full))))


def mooncake() -> tuple[TraceEntry, ...]:
    """Chats, each request with all that was said before: 40 of them behind one of three system prompts, at Poisson times."""
    rng, ids = random.Random(1), count()
    systems = [tuple(next(ids) for _ in range(blocks)) for blocks in (2, 4, 8)]
    chats = [_Text(ids, rng.choice(systems)) for _ in range(40)]
    at_s = 0.0
    found = []
    for line in range(1, REQUESTS + 1):
        text = rng.choice(chats)
        text.grow(rng.randint(20, 200))
        osl = rng.randint(16, 96)
        found.append(TraceEntry(line=line, at_s=_milliseconds(at_s), isl=text.tokens, osl=osl, hash_ids=text.hashes()))
        text.grow(osl)
        at_s += rng.expovariate(REQUESTS / DURATION_S)
    return tuple(found)


def burstgpt() -> tuple[TraceEntry, ...]:
    """Bursts of unrelated requests: gaps of a gamma distribution of shape 0.3, lengths with a long tail, nothing shared."""
    rng, ids = random.Random(2), count()
    at_s = 0.0
    found = []
    for line in range(1, REQUESTS + 1):
        isl, osl = (max(least, min(most, round(rng.lognormvariate(mu, 0.8)))) for least, most, mu in ((32, 4096, 6.4), (4, 256, 3.7)))
        hashes = tuple(next(ids) for _ in range(blocks_of(isl, BLOCK_SIZE)))
        found.append(TraceEntry(line=line, at_s=_milliseconds(at_s), isl=isl, osl=osl, hash_ids=hashes))
        at_s += rng.gammavariate(0.3, DURATION_S / REQUESTS / 0.3)
    return tuple(found)


def sine() -> tuple[TraceEntry, ...]:
    """Two waves of load, in which long prompts with short answers and short prompts with long answers take turns."""
    made = sine_trace(
        Sine(
            duration_s=DURATION_S * 1.2,
            rate_per_s=Swing(low=2.0, high=6.5, period_s=DURATION_S / 2),
            first_share=Swing(low=0.2, high=0.8, period_s=DURATION_S / 2),
            first=Kind(isl=256, osl=96),
            second=Kind(isl=2048, osl=24),
            block_size=BLOCK_SIZE,
            total_blocks=64,
        ),
        seed=3,
    )
    return made[:REQUESTS]


def agents() -> tuple[TraceEntry, ...]:
    """25 agents with one system prompt, eight turns each: what a tool returned is sent with all that went before, after the tool's time."""
    rng, ids = random.Random(4), count()
    system = tuple(next(ids) for _ in range(6))
    found: list[TraceEntry] = []
    for number in range(25):
        text = _Text(ids, system)
        for turn in range(8):
            text.grow(rng.randint(60, 240))
            osl = rng.randint(16, 64)
            found.append(
                TraceEntry(
                    line=len(found) + 1,
                    at_s=None if turn else _milliseconds(number * DURATION_S / 30),
                    isl=text.tokens,
                    osl=osl,
                    hash_ids=text.hashes(),
                    session_id=f"agent-{number}",
                    delay_s=_milliseconds(rng.uniform(0.2, 1.5)) if turn else None,
                )
            )
            text.grow(osl)
    return tuple(found)


def _milliseconds(seconds: float) -> float:
    return int(seconds * 1000) / 1000


TRACES = {"mooncake": mooncake, "burstgpt": burstgpt, "sine": sine, "agents": agents}

if __name__ == "__main__":
    for name, make in TRACES.items():
        write_trace(Path(__file__).with_name(f"{name}.jsonl"), make())
