"""The tree of a trace is a tree, counts every request, and shares what begins alike and nothing else."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.workload.prefix_tree import ROOT, PrefixTree, grow

if TYPE_CHECKING:
    from collections.abc import Sequence

requests = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=25)


def flaws(tree: PrefixTree) -> list[str]:
    """What makes ``tree`` no tree of its own paths."""
    found = []
    leaving = [0] * len(tree.parents)
    below = [0] * len(tree.parents)
    for path in tree.paths:
        leaving[path[-1]] += 1
        if [tree.parents[node] for node in path] != [ROOT, *path[:-1]]:
            found.append(f"{path} does not follow the parents")
    for node, parent in enumerate(tree.parents):
        if parent >= node:
            found.append(f"{node} comes before its parent")
        if parent != ROOT:
            below[parent] += tree.visits[node]
    found += [f"{node} loses requests" for node, visits in enumerate(tree.visits) if visits != leaving[node] + below[node]]
    firsts = sum(visits for visits, parent in zip(tree.visits, tree.parents, strict=True) if parent == ROOT)
    return found if firsts == len(tree.paths) else [*found, "the root loses requests"]


@settings(max_examples=80, deadline=None)
@given(requests)
def test_it_is_a_tree_that_loses_no_request(hash_ids: list[list[int]]) -> None:
    assert flaws(grow(hash_ids)) == []


def test_a_defect_is_found() -> None:
    tree = grow([[1, 2], [1, 3]])
    assert tree == PrefixTree(paths=((0, 1), (0, 2)), parents=(ROOT, 0, 0), visits=(2, 1, 1))
    assert flaws(PrefixTree(paths=tree.paths, parents=(ROOT, 0, 1), visits=tree.visits))
    assert flaws(PrefixTree(paths=tree.paths, parents=tree.parents, visits=(2, 1, 2)))
    assert flaws(PrefixTree(paths=tree.paths, parents=tree.parents, visits=(3, 1, 1)))


@settings(max_examples=80, deadline=None)
@given(requests)
def test_two_paths_are_the_same_as_far_as_their_hashes_are(hash_ids: list[list[int]]) -> None:
    def common(one: Sequence[int], other: Sequence[int]) -> int:
        return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))

    tree = grow(hash_ids)
    for number, (ids, path) in enumerate(zip(hash_ids, tree.paths, strict=True)):
        others = [other for place, other in enumerate(hash_ids) if place != number]
        assert tree.shared_blocks(path) == max((common(ids, other) for other in others), default=0)
        for other_ids, other_path in zip(hash_ids, tree.paths, strict=True):
            assert common(path, other_path) == common(ids, other_ids) == len(set(path) & set(other_path))


def test_nodes_are_numbered_as_they_come() -> None:
    # The same hash behind another beginning is another block: nothing of it could be shared.
    assert grow([[7, 7, 5], [5, 7], [7, 5]]).paths == ((0, 1, 2), (3, 4), (0, 5))
