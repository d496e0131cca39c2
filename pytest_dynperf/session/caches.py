"""What the caches of a deployment hold when a measured run begins: ``traffic.cache``, brought about.

::

    prompts of a run ── asked of this deployment before? ──┬── no ───────────────────────────────▶ it begins
    (words_of)          (Asked, by another run,            ├── yes, and warm or disk ────────────▶ it begins: so it was meant
                         point or arm)                     └── yes, and as-is or cold on a disk ─▶ emptied, or deployed anew

How requests are asked and caches are emptied arrives as arguments.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.measurement.activation import WITHOUT_TIER
from pytest_dynperf.scenario.traffic import ITEM_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.observation.recording import Recording
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.scenario.topology import Topology
    from pytest_dynperf.scenario.traffic import Traffic


_WORD_FOR_WORD = ITEM_KINDS | {"prompts"}
"""Workloads whose prompts are not drawn, so that they are the same in every run."""


class Reset(Protocol):
    """Empties caches of a running deployment."""

    def __call__(self, deployment: Deployment, *, tiers: Sequence[str]) -> None:
        """Returns when the caches of ``tiers`` (``device``, ``host``) are empty.

        :raises DeploymentError: when one of them cannot be emptied.
        """
        ...


MET_BEFORE = "what it asks has been asked of this server before, which is not ours to empty or to restart: its caches may hold it"


class Asked:
    """Which prompts which deployment has been asked since its caches were empty, of all that this process has deployed."""

    def __init__(self) -> None:
        self._known: list[tuple[Deployment, set[str]]] = []

    def note(self, deployment: Deployment, words: str) -> None:
        """``words`` (:func:`words_of`) are about to be asked."""
        self._of(deployment).add(words)

    def has(self, deployment: Deployment, words: str) -> bool:
        """Whether they have been."""
        return words in self._of(deployment)

    def forget(self, deployment: Deployment) -> None:
        """Its caches are empty."""
        self._of(deployment).clear()

    def _of(self, deployment: Deployment) -> set[str]:
        for known, words in self._known:
            if known is deployment:
                return words
        self._known.append((deployment, set()))
        return self._known[-1][1]


def words_of(case: Case, prompts: str, number: int) -> str:
    """The same text for two runs exactly where they ask the same words: random ones are those of the point and of ``prompts``; questions
    and prompts of a file are the same at every point, and unless they are dealt in every run ``number``.
    """
    workload = case.traffic.workload
    if workload.kind not in _WORD_FOR_WORD:
        return f"{case.point} {prompts}"
    place = "" if workload.file is None else str(PurePath(case.directory) / workload.file)
    return f"{workload.kind} {place} {(number - 1) % case.traffic.runs if workload.deal else ''}".strip()


def meets_itself(case: Case, asked: Asked, deployment: Deployment, *, prompts: str, number: int) -> bool:
    """Whether a run would find its own prompts in the caches of ``deployment`` although ``traffic.cache`` does not say so: another run, arm
    or point has asked them.
    """
    return _begins_without(case) and asked.has(deployment, words_of(case, prompts, number))


def _begins_without(case: Case) -> bool:
    """Whether nothing of a run's prompts is to be in the caches, and what :func:`ready_caches` does is not enough for that."""
    cache = case.topology.kv_cache
    if cache.prefix_caching is False and cache.connector in WITHOUT_TIER:
        return False
    return case.traffic.cache == "as-is" or (case.traffic.cache == "cold" and _outlasts_a_reset(case.topology))


def _outlasts_a_reset(topology: Topology) -> bool:
    return topology.kv_cache.disk_gib is not None or topology.kv_cache.object_store_url is not None


def _can_be_emptied(topology: Topology) -> bool:
    """All of it, where it runs: by calls that engine and cache server have, and so that a router knows it."""
    cache, guessing = topology.kv_cache, topology.router_mode == "kv" and topology.router.kv_events is False
    known = topology.engine == "vllm" and topology.served_by == "dynamo" and cache.connector in {*WITHOUT_TIER, "lmcache-mp"}
    return known and not guessing and not _outlasts_a_reset(topology)


def emptied(topology: Topology, deployment: Deployment, *, reset: Reset) -> bool:
    """Empty all caches of ``deployment``. False where that cannot be: then it takes a new deployment."""
    if not _can_be_emptied(topology):
        return False
    try:
        reset(deployment, tiers=tiers_of(topology))
    except DeploymentError:
        return False
    return True


def restarts(case: Case, runs: int) -> int:
    """How many of ``runs`` runs, one after the other, need a deployment of their own, the first one not counted."""
    again = case.traffic.workload.kind in _WORD_FOR_WORD and not case.traffic.workload.deal
    return max(0, runs - 1) if again and _begins_without(case) and not _can_be_emptied(case.topology) else 0


def tiers_of(topology: Topology) -> tuple[str, ...]:
    """The tiers above the disk that ``topology`` has, which a cold run must find empty."""
    return ("device",) if topology.kv_cache.connector in WITHOUT_TIER else ("device", "host")


def ready_caches(
    traffic: Traffic, topology: Topology, deployment: Deployment, *, reset: Reset, ask: Callable[[], Recording]
) -> tuple[str, ...]:
    """Bring the caches to the state that ``traffic.cache`` names. Why the state is another one, in words; empty where it is that.

    ``ask`` sends the requests of the run once, unmeasured.

    :raises DeploymentError: when caches cannot be emptied.
    """
    if traffic.cache in {"warm", "disk"}:
        recording = ask()
        failed = [record.error for record in recording.records if record.measured and record.error is not None]
        if recording.incidents:
            return tuple(f"while the caches were warmed: {incident}" for incident in recording.incidents)
        if not recording.measured:
            return ("nothing was asked while the caches were warmed",)
        if failed:
            first = f"{failed[0].kind.value}: {failed[0].detail}"
            return (f"{len(failed)} of {len(recording.measured)} requests failed while the caches were warmed; the first: {first}",)
    if traffic.cache in {"cold", "disk"}:
        reset(deployment, tiers=tiers_of(topology))
    return ()
