"""Which words a version of Dynamo understands: one table for 0.9 to 1.6, by minor version. Pure.

Everything else says what it wants (role prefill, router by KV events, connector lmcache) and asks here how that is spelled. Read from the
argument parsers in the wheels of ai-dynamo 0.9.1, 1.0.2, 1.1.1, 1.2.1, 1.3.1, 1.4.2, 1.5.1 and 1.6.1, whose flags lie as data beside the
golden tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from pytest_dynperf.scenario.topology import Topology

_FIRST_ROUTER_MODES = ("round-robin", "random", "kv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one range of versions spells what we ask. ``since`` is its first minor version.

    ``reset_states`` is empty where the router keeps no state. ``overlap_weight`` weighs prefill against decode: its name changed with
    1.2, where ``--router-kv-overlap-score-credit`` became another quantity. ``disaggregation_mode``: roles are values of that flag, else
    ``--is-prefill-worker`` and ``--is-decode-worker``. ``connector_flag``: vLLM workers take ``--connector`` and have NIXL without being
    asked. ``frontend_migrates``: the migration limit is the frontend's, else a worker's. ``mocker_event_plane``: the mocker has the flag.
    ``events_over_nats``: the event plane is NATS where nothing else is said. ``events_unasked``: vLLM workers publish KV events where
    nothing is said. ``transfer_roles``: ends of a NIXL transfer are producer and consumer, else each is both. ``encoders``: engines with
    an encode worker that is started like the other roles. ``trtllm_publish``: KV events and metrics of TensorRT-LLM workers.
    ``sglang_lmcache``: which of LMCache's two forms the SGLang of that version has.
    """

    since: tuple[int, int]
    router_modes: tuple[str, ...] = _FIRST_ROUTER_MODES
    kv_events: str = "--kv-events"
    ttl: str = "--router-ttl"
    overlap_weight: str = "--kv-overlap-score-weight"
    reset_states: str = "--router-reset-states"
    disaggregation_mode: bool = False
    connector_flag: bool = True
    frontend_migrates: bool = False
    mocker_event_plane: bool = False
    events_over_nats: bool = True
    events_unasked: bool = True
    transfer_roles: bool = False
    encoders: tuple[str, ...] = ()
    trtllm_publish: tuple[str, ...] = ("--publish-events-and-metrics",)
    sglang_lmcache: str = "lmcache"

    @property
    def name(self) -> str:
        """``1.4``."""
        return ".".join(map(str, self.since))


_0_9 = Dialect(since=(0, 9))
_1_0 = replace(
    _0_9,
    since=(1, 0),
    router_modes=(*_FIRST_ROUTER_MODES, "direct"),
    kv_events="--router-kv-events",
    ttl="--router-ttl-secs",
    overlap_weight="--router-kv-overlap-score-weight",
    disaggregation_mode=True,
    connector_flag=False,
    frontend_migrates=True,
)
_1_1 = replace(
    _1_0,
    since=(1, 1),
    router_modes=(*_1_0.router_modes, "power-of-two", "least-loaded", "device-aware-weighted"),
    mocker_event_plane=True,
    events_unasked=False,
    encoders=("vllm",),
)
_1_2 = replace(_1_1, since=(1, 2), overlap_weight="--router-prefill-load-scale", events_over_nats=False)
_1_3 = replace(_1_2, since=(1, 3), encoders=("vllm", "sglang", "trtllm"), sglang_lmcache="lmcache-mp")
_1_4 = replace(_1_3, since=(1, 4), reset_states="")
_1_5 = replace(_1_4, since=(1, 5))
_1_6 = replace(
    _1_5,
    since=(1, 6),
    transfer_roles=True,
    trtllm_publish=("--publish-kv-events", "--publish-metrics"),
)

DIALECTS = (_0_9, _1_0, _1_1, _1_2, _1_3, _1_4, _1_5, _1_6)
"""Ascending; the last is the newest that was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A dialect, and what should be known about the choice; an empty ``note`` where the version is a known one."""

    dialect: Dialect
    note: str = ""


def dialect_of(version: str) -> Chosen:
    """The dialect of ``1.4.2``, ``v1.4``, ``1.6.0.dev20260901``. A version newer than all known takes the newest, with a note.

    :raises UsageError: for a version before 0.9, and for a text without one.
    """
    match = re.match(r"v?(\d+)\.(\d+)(?!\d)", version.strip())
    if match is None:
        msg = f"topology.dynamo_version {version!r} is no version of Dynamo: write it as the package does, such as 1.4.2"
        raise UsageError(msg)
    asked = (int(match.group(1)), int(match.group(2)))
    if asked < DIALECTS[0].since:
        msg = (
            f"Dynamo {version} is older than {DIALECTS[0].name}, the oldest whose flags are known: deploy a newer one, "
            f"or start it yourself and measure it with --dynperf-endpoint URL --dynperf-model NAME"
        )
        raise UsageError(msg)
    dialect = max((known for known in DIALECTS if known.since <= asked), key=lambda known: known.since)
    if asked > DIALECTS[-1].since:
        return Chosen(dialect=dialect, note=f"Dynamo {version} is newer than any known version; it gets the flags of {dialect.name}")
    return Chosen(dialect=dialect)


def version_of_image(image: str | None) -> str | None:
    """``1.3.1`` of ``nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.3.1-cuda13@sha256:…``; ``None`` where the name or the tag does not say."""
    match = re.search(r"(?:dynamo|-runtime)[\w./-]*:v?(\d+\.\d+(?:\.\d+)?)(?![\d])", image or "")
    return match.group(1) if match else None


def choose(topology: Topology, *, found: str = "") -> Chosen:
    """The dialect for ``topology``: the version that it asks for, else the one ``found`` where it will run, else that of its image's tag,
    else the newest known, with a note.

    :raises UsageError: as :func:`dialect_of`.
    """
    version = topology.dynamo_version or found or version_of_image(topology.image)
    if version:
        return dialect_of(version)
    newest = DIALECTS[-1]
    return Chosen(dialect=newest, note=f"the version of Dynamo is not known; it gets the flags of {newest.name}")
