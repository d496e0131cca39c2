"""Traffic → requests: the one door of this room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.scenario.traffic import ITEM_KINDS
from pytest_dynperf.workload.conversation import conversation_requests
from pytest_dynperf.workload.fixed_prompts import fixed_requests, read_prompts
from pytest_dynperf.workload.media import image_requests, read_images
from pytest_dynperf.workload.mmlu import QuestionSet, chosen, dealt, item_requests, local_set
from pytest_dynperf.workload.mmlu_files import read_set
from pytest_dynperf.workload.prompt_lengths import Lengths
from pytest_dynperf.workload.shared_prefix import shared_prefix_requests
from pytest_dynperf.workload.synthesizer import adjust
from pytest_dynperf.workload.synthetic import synthetic_requests
from pytest_dynperf.workload.trace import read_trace
from pytest_dynperf.workload.trace_requests import trace_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_dynperf.scenario.traffic import Traffic, Workload
    from pytest_dynperf.workload.prompt import PromptSource
    from pytest_dynperf.workload.request import Request

    Maker: TypeAlias = Callable[["WorkloadCall"], Iterator[Request]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadCall:
    """What makes requests of a kind that is not ours is asked. ``source`` makes prompts of an exact length. ``seed`` decides every word and
    ``shape_seed`` lengths and order. A relative ``traffic.workload.file`` is relative to ``root``.
    """

    traffic: Traffic
    source: PromptSource
    seed: int
    shape_seed: int
    root: Path


def requests_of(
    traffic: Traffic,
    source: PromptSource,
    *,
    seed: int,
    root: Path,
    shape_seed: int | None = None,
    model_max_isl: int | None = None,
    makers: Mapping[str, Maker] | None = None,
    part: int = 0,
) -> Iterator[Request]:
    """The requests of ``traffic.workload``: endless, but for a trace, which ends. ``root``: what a relative ``file`` is relative to.
    ``shape_seed`` decides lengths and which prefix comes when, ``seed`` every word (and both, where the other is not given): with one shape
    seed, cases whose words differ ask for the same amount in the same order. ``model_max_isl``: the longest prompt that the model takes,
    where that is known. ``makers`` make the requests of further kinds. ``part`` counts, from 0, the runs that are dealt
    the questions of one set.

    :raises WorkloadError: here where a file is of no use; else with the first request that cannot be made or is too long for the model.
    """
    shape = seed if shape_seed is None else shape_seed
    if makers is not None and (maker := makers.get(traffic.workload.kind)) is not None:
        return _within(maker(WorkloadCall(traffic=traffic, source=source, seed=seed, shape_seed=shape, root=root)), model_max_isl)
    return _within(_requests(traffic, source, seed=seed, shape_seed=shape, root=root, max_isl=model_max_isl, part=part), model_max_isl)


def _requests(
    traffic: Traffic, source: PromptSource, *, seed: int, shape_seed: int, root: Path, max_isl: int | None, part: int
) -> Iterator[Request]:
    workload = traffic.workload
    spread = {"isl_stddev": workload.isl_stddev, "osl_stddev": workload.osl_stddev}
    lengths = Lengths(isl=traffic.isl, osl=traffic.osl, max_isl=max_isl, **spread)
    if workload.kind == "trace" or (workload.kind == "conversation" and workload.file is not None):
        entries = adjust(read_trace(_file(workload, root), block_size=workload.block_size), workload, seed=shape_seed)
        return trace_requests(entries, source, block_size=workload.block_size, seed=seed)
    if workload.kind == "conversation":
        return conversation_requests(source, lengths, turns=workload.turns, delay_s=workload.turn_delay_s, seed=seed, shape_seed=shape_seed)
    if workload.kind == "shared-prefix":
        ratio, prefixes = workload.prefix_ratio, workload.prefix_count
        return shared_prefix_requests(source, lengths, prefix_ratio=ratio, prefix_count=prefixes, seed=seed, shape_seed=shape_seed)
    if workload.kind == "prompts":
        return fixed_requests(read_prompts(_file(workload, root)), source, osl=traffic.osl)
    if workload.kind not in {"synthetic", "images", *ITEM_KINDS}:
        msg = f"nothing here makes requests of traffic.workload.kind = {workload.kind!r}"
        raise WorkloadError(msg)
    requests = synthetic_requests(source, isl=traffic.isl, osl=traffic.osl, seed=seed, shape_seed=shape_seed, max_isl=max_isl, **spread)
    if workload.kind == "synthetic":
        return requests
    if workload.kind in ITEM_KINDS:
        found = question_set(workload, root)
        if workload.deal:
            found = dealt(found, part=part, size=traffic.request_count)
        return item_requests(found, requests, source, warmup_count=traffic.warmup_count, shots=shots_of(workload), osl=traffic.osl)
    return image_requests(requests, read_images(_file(workload, root)), count=workload.image_count, seed=seed)


def question_set(workload: Workload, root: Path) -> QuestionSet:
    """The questions that ``workload`` asks, in their order. Reads all of the set.

    :raises WorkloadError: when it is not here, is not a set, or nothing of it is left.
    """
    if workload.kind == "fact-table":
        found, where = local_set(), "the set made by code"
    else:
        path = None if workload.file is None else root / workload.file
        found, where = read_set(path), "cais/mmlu" if path is None else str(path)
    return chosen(found, subjects=workload.subjects, limit=workload.limit, where=where)


def shots_of(workload: Workload) -> int:
    """Examples before each question: the set that is made by code has none."""
    return 0 if workload.kind == "fact-table" else workload.shots


def _file(workload: Workload, root: Path) -> Path:
    if workload.file is None:
        msg = f"traffic.workload.file is missing: traffic.workload.kind = {workload.kind!r} reads one"
        raise WorkloadError(msg)
    return root / workload.file


def _within(requests: Iterator[Request], max_isl: int | None) -> Iterator[Request]:
    for request in requests:
        if max_isl is not None and request.isl > max_isl:
            turn = f", turn {request.turn} of its conversation," if request.conversation is not None else ""
            msg = f"request {request.index}{turn} has {request.isl} tokens, but the model takes prompts of {max_isl} at most"
            raise WorkloadError(msg)
        yield request
