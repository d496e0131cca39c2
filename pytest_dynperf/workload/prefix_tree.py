"""Which requests of a trace begin alike: the tree of their blocks.

In: lists of block hashes. Out: :class:`PrefixTree`, in which a node is a block *and all blocks before it*. That is what a prefix cache can
share, and it is a tree whatever the hashes are: the same hash behind different beginnings is two nodes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = -1
"""Above the first blocks; it stands for no block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixTree:
    """``paths``: of each request the nodes of its blocks. Nodes are numbered from 0 in the order in which they first occur, so a parent is
    smaller than its children (AIPerf's RollingHasher gives the same numbers). ``parents`` and ``visits`` by node: the node before it,
    :data:`ROOT` for a first block, and how many requests pass through it or end in it.
    """

    paths: tuple[tuple[int, ...], ...]
    parents: tuple[int, ...]
    visits: tuple[int, ...]

    def shared_blocks(self, path: Sequence[int]) -> int:
        """How many leading blocks of ``path`` another request has as well. Visits never grow along a path: logarithmic time."""
        return bisect_left(path, 1, key=lambda node: int(self.visits[node] == 1))


def grow(hash_ids: Iterable[Sequence[int]]) -> PrefixTree:
    """The tree of all requests, in their order. About 0.2 µs per block."""
    nodes: dict[tuple[int, int], int] = {}
    parents: list[int] = []
    visits: list[int] = []
    paths = []
    for ids in hash_ids:
        parent = ROOT
        path = []
        for block in ids:
            node = nodes.setdefault((parent, block), len(parents))
            if node == len(parents):
                parents.append(parent)
                visits.append(0)
            visits[node] += 1
            path.append(node)
            parent = node
        paths.append(tuple(path))
    return PrefixTree(paths=tuple(paths), parents=tuple(parents), visits=tuple(visits))
