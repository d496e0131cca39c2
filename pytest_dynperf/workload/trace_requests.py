"""Entries of a trace → requests with real prompts: equal leading block hashes become equal leading tokens.

In: :class:`~pytest_dynperf.workload.trace.TraceEntry` values, a source of prompts, a seed. Out: a stream of requests.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.request import Request
from pytest_dynperf.workload.seed import stream_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dynperf.workload.prompt import PromptSource
    from pytest_dynperf.workload.trace import TraceEntry


def trace_requests(entries: Sequence[TraceEntry], source: PromptSource, *, block_size: int, seed: int) -> Iterator[Request]:
    """One request per entry, in their order, but the turns of a session together, where its first one stands.

    The first k x ``block_size`` tokens of two prompts are the same where their first k hashes are; the tokens that the chat template puts
    in front count, so a first block has fewer words of its own. Where hashes part, so do the words, as far as random words differ. What the
    template puts behind ends the last block; where that block has no more tokens than this, its hash has no say. ``isl`` is the entry's, or
    as short as a prompt with this template can be. A session's turn is one message with all of its input: lengths and hashes of the trace
    are of the whole, so there is no history. ``at_s`` counts from the earliest of the trace.

    :raises WorkloadError: with the first request, where an entry has an OSL of 0; else with the first request that cannot be made.
    """
    for entry in entries:
        if not entry.osl:
            msg = f"line {entry.line} of the trace has an output length of 0, and a server answers with at least one token: set a least OSL"
            raise WorkloadError(msg)
    start_s = min((entry.at_s for entry in entries if entry.at_s is not None), default=0.0)
    shortest = source.overhead() + 1
    lead = source.lead()
    for index, (entry, turn) in enumerate(_by_session(entries)):
        isl = max(entry.isl, shortest)
        words = _block_words(entry.hash_ids, source, room=isl - source.overhead(), lead=lead, block_size=block_size, seed=seed)
        yield Request(
            index=index,
            content=source.assemble(words, isl, random.Random(stream_seed(seed, "trace", "rest", str(index)))),
            isl=isl,
            osl=entry.osl,
            at_s=None if entry.at_s is None else entry.at_s - start_s,
            conversation=entry.session_id,
            turn=turn,
            delay_s=(entry.delay_s or 0.0) if turn else 0.0,
        )


def _block_words(hash_ids: Sequence[int], source: PromptSource, *, room: int, lead: int, block_size: int, seed: int) -> list[str]:
    """At most ``room`` words: of each block as many as it has tokens behind the first ``lead`` of the prompt."""
    words: list[str] = []
    for place, block in enumerate(hash_ids):
        fits = min((place + 1) * block_size - lead - len(words), room - len(words))
        if fits > 0:
            words += source.words(random.Random(stream_seed(seed, "trace", "block", str(block))), fits)
    return words


def _by_session(entries: Sequence[TraceEntry]) -> Iterator[tuple[TraceEntry, int]]:
    """Entries with the number of their turn."""
    sessions: dict[str, list[TraceEntry]] = {}
    for entry in entries:
        if entry.session_id is not None:
            sessions.setdefault(entry.session_id, []).append(entry)
    for entry in entries:
        if entry.session_id is None:
            yield entry, 0
        else:
            yield from ((each, turn) for turn, each in enumerate(sessions.pop(entry.session_id, ())))
