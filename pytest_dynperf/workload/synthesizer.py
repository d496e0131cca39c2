"""Traces made from traces: stretched, filtered, or drawn anew with the same statistics.

In: entries of a trace, the multipliers and bounds of a :class:`~pytest_dynperf.scenario.traffic.Workload`, a seed. Out: entries. The model
is that of Dynamo's trace synthesizer: a request has a *context*, the leading blocks that another request has as well, and a *prompt*, its
own tokens behind them. A request without a prompt ends inside what others share.

A new request walks down the tree of contexts by how often the trace took each branch. The probabilities along a path multiply to the share
of the trace's requests that left the tree there, so places are drawn directly: all of the trace, shuffled, then all again. (Drawn each by
itself, a context that the trace used twice would be used twice or more too often, and the hit rate would be too high.) Each request then
gets a prompt length, an output length and a time, drawn from those of the trace, independently. Bounds of the ISL condition the draw;
nothing is drawn and thrown away.

Everything is a function of the arguments. Request *i* is the same for every ``count`` above *i*.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.prefix_tree import grow
from pytest_dynperf.workload.seed import stream_seed
from pytest_dynperf.workload.trace import TraceEntry, blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from pytest_dynperf.scenario.traffic import Workload
    from pytest_dynperf.workload.prefix_tree import PrefixTree

_STEPS = 2**20
"""Dice of the rounding are multiples of 1/_STEPS, so that adding them to a whole number is exact."""


def adjust(entries: Sequence[TraceEntry], workload: Workload, *, seed: int) -> tuple[TraceEntry, ...]:
    """The trace itself with the multipliers and bounds of ``workload``: contexts and prompts stretched, then requests outside of
    ``min_isl`` to ``max_isl`` left out, then OSLs moved into ``min_osl`` to ``max_osl``. Times, sessions and delays stay. Where every
    option has its default, the entries are returned as they are.

    :raises WorkloadError: when no request is left.
    """
    multipliers = {workload.prefix_length_multiplier, workload.prompt_length_multiplier, workload.prefix_root_multiplier}
    stretched = tuple(entries) if multipliers == {1} else _stretched(entries, workload, seed)
    low, high = _isl_bounds(workload)
    kept = [entry for entry in stretched if low <= entry.isl <= high]
    if not kept:
        lengths = [entry.isl for entry in stretched]
        raise WorkloadError(_nothing_left(workload, min(lengths), max(lengths)))
    if workload.min_osl is None and workload.max_osl is None:
        return tuple(kept)
    return tuple(replace(entry, osl=_clipped(entry.osl, workload)) for entry in kept)


def synthesize(entries: Sequence[TraceEntry], workload: Workload, *, count: int, seed: int, speedup: float = 1.0) -> tuple[TraceEntry, ...]:
    """``count`` new requests with the statistics of ``entries``, changed by the multipliers and bounds of ``workload``.

    Times begin at 0 and are whole milliseconds: as many requests at one time, and such gaps between the times, as in ``entries``, gaps
    divided by ``speedup``. Bounds of the ISL choose which requests are drawn and leave the rate as it is. Sessions are not modelled: a turn
    is a request like others.

    :raises WorkloadError: when no request of the trace can lie within the bounds of the ISL, and when turns have delays instead of times.
    """
    model = _Model.of(entries, workload, seed)
    times = _times(entries, count, seed, speedup)
    osls = np.array([_clipped(entry.osl, workload) for entry in entries])[_indices(len(entries), count, seed, "output")]
    copies = _indices(workload.prefix_root_multiplier, count, seed, "root")
    numbers = _Numbers(model.core)
    drawn = []
    for index, (exit_, prompt) in enumerate(model.draw(count, seed)):
        isl, ids = numbers.request(exit_, prompt, int(copies[index]))
        drawn.append(TraceEntry(line=index + 1, at_s=times[index], isl=isl, osl=int(osls[index]), hash_ids=ids))
    return tuple(drawn)


# ---- contexts


@dataclass(frozen=True, slots=True)
class _Exit:
    """Where a request leaves the tree: the nodes of its context and their tokens. ``whole``: it ends there, without a prompt."""

    path: tuple[int, ...]
    tokens: int
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """The tree, and how its contexts are stretched: one of d blocks becomes floor(``multiplier`` x d + dice) shared blocks, with one throw
    of the dice for all contexts that begin with the same block. In expectation that is exact, and what two contexts share they go on
    sharing. The ISL grows by tokens, whatever the dice say: the last shared block may hold the first tokens of the prompt.
    """

    tree: PrefixTree
    multiplier: float
    dice: dict[int, float]
    block_size: int

    def stretched(self, path: tuple[int, ...], amount: int) -> int:
        """``amount`` blocks, or tokens, of the context ``path``."""
        return math.floor(self.multiplier * amount + self.dice[path[0]]) if path else 0

    def least(self, exit_: _Exit) -> int:
        """Tokens of a request that leaves there, without a prompt."""
        return max(int(exit_.whole), self.stretched(exit_.path, exit_.tokens))


def _core(entries: Sequence[TraceEntry], workload: Workload, seed: int) -> _Core:
    tree = grow(entry.hash_ids for entry in entries)
    firsts = [node for node, parent in enumerate(tree.parents) if parent < 0]
    dice = _uniform(len(firsts), seed, "prefix")
    return _Core(
        tree=tree,
        multiplier=workload.prefix_length_multiplier,
        dice={node: math.floor(value * _STEPS) / _STEPS for node, value in zip(firsts, dice, strict=True)},
        block_size=workload.block_size,
    )


def _exits(entries: Sequence[TraceEntry], core: _Core) -> tuple[list[_Exit], list[int]]:
    """Of each entry where it leaves the tree, and the tokens of its prompt, 0 where it has none."""
    exits, prompts = [], []
    for entry, path in zip(entries, core.tree.paths, strict=True):
        shared = core.tree.shared_blocks(path)
        tokens = min(entry.isl, shared * core.block_size)
        exits.append(_Exit(path[:shared], tokens, shared == len(path)))
        prompts.append(entry.isl - tokens)
    return exits, prompts


def _stretched_prompts(prompts: Iterable[int], multiplier: float) -> list[int]:
    """Each length times ``multiplier``, rounded; what rounding leaves goes to the next one, so that the sum is exact to half a token. At
    least one token each: only where that binds, the sum is larger.
    """
    stretched, before, exact = [], 0, 0.0
    for length in prompts:
        exact += multiplier * length
        after = math.floor(exact + 0.5)
        stretched.append(max(1, after - before))
        before = after
    return stretched


class _Numbers:
    """Hash ids for requests: consecutive from 0 in the order of first use, equal where the same copy of a context has the same block."""

    def __init__(self, core: _Core) -> None:
        self._core = core
        self._known: dict[tuple[int, int, int], int] = {}
        self._next = 0

    def request(self, exit_: _Exit, prompt: int, copy: int) -> tuple[int, tuple[int, ...]]:
        """ISL and hash ids. ``prompt`` tokens follow the context, unless the request ends in it."""
        isl = self._core.least(exit_) + (0 if exit_.whole else prompt)
        count = blocks_of(isl, self._core.block_size)
        ids = self._context(exit_, copy)[:count]
        while len(ids) < count:
            # The stretched end may begin one more block; all requests that end so share it.
            ids.append(self._number((copy, exit_.path[-1], len(ids))) if exit_.whole else self._fresh())
        return isl, tuple(ids)

    def _context(self, exit_: _Exit, copy: int) -> list[int]:
        ids: list[int] = []
        for depth, node in enumerate(exit_.path, start=1):
            while len(ids) < self._core.stretched(exit_.path, depth):
                ids.append(self._number((copy, node, len(ids))))
        return ids

    def _number(self, key: tuple[int, int, int]) -> int:
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = self._fresh()
        return number

    def _fresh(self) -> int:
        self._next += 1
        return self._next - 1


def _stretched(entries: Sequence[TraceEntry], workload: Workload, seed: int) -> tuple[TraceEntry, ...]:
    core = _core(entries, workload, seed)
    exits, lengths = _exits(entries, core)
    own = iter(_stretched_prompts((length for length in lengths if length), workload.prompt_length_multiplier))
    copies = _indices(workload.prefix_root_multiplier, len(entries), seed, "root")
    of_session: dict[str, int] = {}
    numbers = _Numbers(core)
    stretched = []
    for entry, exit_, length, drawn in zip(entries, exits, lengths, copies, strict=True):
        copy = int(drawn) if entry.session_id is None else of_session.setdefault(entry.session_id, int(drawn))
        isl, ids = numbers.request(exit_, next(own) if length else 0, copy)
        stretched.append(replace(entry, isl=isl, hash_ids=ids))
    return tuple(stretched)


# ---- drawing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """What requests are drawn from. By request of the trace: where it leaves the tree, which of the ``prompts`` (sorted tokens) bring it
    from there into the bounds of the ISL, ``first`` to below ``last``, and their share of all prompts (0 or 1 where none follows).
    """

    core: _Core
    exits: tuple[_Exit, ...]
    shares: npt.NDArray[np.float64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    prompts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, entries: Sequence[TraceEntry], workload: Workload, seed: int) -> _Model:
        core = _core(entries, workload, seed)
        exits, lengths = _exits(entries, core)
        own = _stretched_prompts((length for length in lengths if length), workload.prompt_length_multiplier)
        prompts = np.sort(np.array(own or [0], np.int64))
        low, high = _isl_bounds(workload)
        least = np.array([core.least(exit_) for exit_ in exits])
        whole = np.array([exit_.whole for exit_ in exits])
        first = np.where(whole, 0, np.searchsorted(prompts, low - least, side="left"))
        last = np.where(whole, 0, np.searchsorted(prompts, high - least, side="right"))
        shares = np.where(whole, (low <= least) & (least <= high), (last - first) / len(prompts))
        if not shares.any():
            shortest, longest = (least + np.where(whole, 0, prompts[end]) for end in (0, -1))
            raise WorkloadError(_nothing_left(workload, int(shortest.min()), int(longest.max())))
        return cls(core=core, exits=tuple(exits), shares=shares, first=first, last=last, prompts=prompts)

    def draw(self, count: int, seed: int) -> Iterator[tuple[_Exit, int]]:
        """Exit and prompt tokens of each request."""
        drawn: list[int] = []
        number = 0
        while len(drawn) < count:
            drawn += self._round(seed, number)
            number += 1
        chosen = np.array(drawn[:count], np.int64)
        first, last = self.first[chosen], self.last[chosen]
        place = first + np.floor(_uniform(count, seed, "prompt") * (last - first)).astype(np.int64)
        for exit_, prompt in zip(chosen.tolist(), self.prompts[place].tolist(), strict=True):
            yield self.exits[exit_], prompt

    def _round(self, seed: int, number: int) -> list[int]:
        """Once through the trace: its requests in random order, each as often as its share says, so once where nothing is bounded
        (systematic sampling: one throw, then equal steps along the sum of the shares).
        """
        uniform = _uniform(len(self.shares) + 1, seed, f"walk {number}")
        order = np.argsort(uniform[1:], kind="stable")
        sums = np.cumsum(self.shares[order])
        steps = max(1, round(sums[-1]))
        places = np.searchsorted(sums, (uniform[0] + np.arange(steps)) * (sums[-1] / steps), side="right")
        drawn: list[int] = order[np.minimum(places, np.flatnonzero(self.shares[order])[-1])].tolist()
        return drawn


def _times(entries: Sequence[TraceEntry], count: int, seed: int, speedup: float) -> list[float | None]:
    timed = [entry.at_s for entry in entries if entry.at_s is not None]
    if not timed:
        return [None] * count
    if len(timed) < len(entries):
        line = next(entry.line for entry in entries if entry.at_s is None)
        msg = (
            f"line {line} of the trace has no timestamp, so no times can be drawn: how later turns of a session follow their answers is "
            f"not modelled. Replay the trace itself, or adjust it."
        )
        raise WorkloadError(msg)
    bursts = np.array(list(Counter(timed).values()))
    gaps = np.diff(np.unique(timed))
    sizes = bursts[_indices(len(bursts), count, seed, "burst")]
    waits = gaps[_indices(len(gaps), count, seed, "gap")] / speedup if len(gaps) else np.zeros(count)
    starts = np.concatenate([[0.0], np.cumsum(waits)[:-1]]) if count else waits
    return [round(float(at_s), 3) for at_s in np.repeat(starts, sizes)[:count]]


def _isl_bounds(workload: Workload) -> tuple[float, float]:
    return workload.min_isl or 0, math.inf if workload.max_isl is None else workload.max_isl


def _nothing_left(workload: Workload, shortest: int, longest: int) -> str:
    found = {name: getattr(workload, name) for name in ("min_isl", "max_isl")}
    bounds = " and ".join(f"traffic.workload.{name} = {value}" for name, value in found.items() if value is not None)
    return f"with {bounds} no request is left: those of this trace have ISLs of {shortest} to {longest}, multipliers included"


def _clipped(osl: int, workload: Workload) -> int:
    least = osl if workload.min_osl is None else max(osl, workload.min_osl)
    return least if workload.max_osl is None else min(least, workload.max_osl)


def _uniform(count: int, seed: int, stream: str) -> npt.NDArray[np.float64]:
    """Uniform in [0, 1). Only this of numpy's generator is used: its other methods may change from version to version."""
    return np.random.default_rng(stream_seed(seed, "trace", stream)).random(count)


def _indices(size: int, count: int, seed: int, stream: str) -> npt.NDArray[np.int64]:
    """Uniform in 0 to ``size`` - 1."""
    return np.floor(_uniform(count, seed, stream) * size).astype(np.int64)
