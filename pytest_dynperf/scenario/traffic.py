"""What is asked of the endpoint, when, and how often."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dynperf.scenario.topology import Topology

PROCESSES = ("concurrency", "constant", "poisson", "gamma", "sinusoidal", "trace")
"""Arrival processes. ``concurrency`` is the closed loop, all others are open."""

WORKLOADS = ("synthetic", "shared-prefix", "trace", "conversation", "images", "prompts", "mmlu", "fact-table")

ITEM_KINDS = frozenset({"mmlu", "fact-table"})
"""Workloads of questions with known answers, each of which is asked once in a run."""

CACHES = ("as-is", "cold", "warm", "disk")
"""What the caches hold when a measured run begins; ``as-is``: whatever they happen to hold."""

OPEN_LOOP_S = 30.0
"""An open loop that does not say how many requests it measures lasts so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """When requests are sent.

    ``rate_per_s`` is the mean of ``constant``, ``poisson`` and ``gamma``. ``burstiness`` is the shape of the gamma distribution of the
    gaps: 1 is Poisson, less is burstier, more is smoother (as in ``vllm bench serve``). ``sinusoidal`` swings between
    ``min_rate_per_s`` and ``max_rate_per_s`` with ``period_s`` and starts at the minimum (as Dynamo's sine generator). ``speedup``
    divides the times of a ``trace``. Over ``ramp_s`` before the measured phase the concurrency, or the rate, grows linearly to its full
    value. ``max_in_flight`` bounds an open loop: what would be sent beyond it is dropped, counted, and an error of that request.
    """

    process: str = "concurrency"
    rate_per_s: float | None = None
    burstiness: float = 1.0
    min_rate_per_s: float | None = None
    max_rate_per_s: float | None = None
    period_s: float | None = None
    speedup: float = 1.0
    ramp_s: float = 0.0
    max_in_flight: int | None = None

    @property
    def closed(self) -> bool:
        """Whether a new request waits for the end of another one."""
        return self.process == "concurrency"

    @property
    def mean_rate_per_s(self) -> float | None:
        """Of an open loop; ``None`` where the trace decides, and for a closed loop."""
        if self.process == "sinusoidal" and self.min_rate_per_s is not None and self.max_rate_per_s is not None:
            return (self.min_rate_per_s + self.max_rate_per_s) / 2
        return self.rate_per_s if self.process in {"constant", "poisson", "gamma"} else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the requests hold. Lengths are tokens, chat template included.

    ``synthetic``: random prompts, ISL and OSL normal around ``traffic.isl`` and ``traffic.osl`` with the given standard deviations.
    ``shared-prefix``: the first ``prefix_ratio`` of each prompt is one of ``prefix_count`` shared texts.
    ``trace``: ``file`` is a mooncake JSONL; block hashes of ``block_size`` tokens become real shared prefixes. ``conversation``: ``turns``
    per conversation, ``turn_delay_s`` between the end of an answer and the next turn; with ``file``, the sessions and delays of a trace.
    ``images``: ``image_count`` pictures per request from the directory ``file``. ``prompts``: those of the JSON lines in ``file``, word for
    word and in their order, over and over. ``mmlu``: each question of a set in the schema of ``cais/mmlu`` once, from the directory
    ``file``, or from the Hugging Face hub's cache without one, behind ``shots`` examples; ``fact-table``: 512 questions about facts that
    stand in their prompts, made by code. Of both, at most ``limit`` questions of each subject, and of ``subjects`` alone where some are
    named; with ``deal`` each run asks the next ``traffic.requests`` of them, and no question is asked by two runs.
    The multipliers and the bounds of length are those of Dynamo's trace synthesizer; they apply to traces.
    """

    kind: str = "synthetic"
    isl_stddev: float = 0.0
    osl_stddev: float = 0.0
    prefix_ratio: float = 0.0
    prefix_count: int = 1
    file: str | None = None
    block_size: int = 512
    prefix_length_multiplier: float = 1.0
    prefix_root_multiplier: int = 1
    prompt_length_multiplier: float = 1.0
    min_isl: int | None = None
    max_isl: int | None = None
    min_osl: int | None = None
    max_osl: int | None = None
    turns: int = 1
    turn_delay_s: float = 0.0
    image_count: int = 1
    shots: int = 5
    limit: int | None = None
    subjects: tuple[str, ...] = ()
    deal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A closed loop of exactly ``concurrency`` requests in flight, or an open loop whose sends ``arrival`` schedules.

    ``isl`` includes the chat template. ``requests`` counts the measured requests of one run; ``None`` means max(30, 4 x concurrency) in a
    closed loop, and in an open one what arrives in 30 s, at least 30. ``warmup_requests`` of ``None`` means max(2, concurrency), in an open
    loop one second of the rate, at least 2 (none for a trace). ``max_failures_in_a_row`` ends a run of a server that is down; ``None``
    means max(20, 2 x concurrency), in an open loop max(20, two seconds of the rate). ``runs`` is R, the number of statistical units of a
    session. ``temperature`` of ``None`` leaves sampling to the server; 0 is greedy.

    ``keep_text``: request records keep the text of every answer; without it, only those of questions with a known answer.

    ``cache``: what holds when a measured run begins. ``as-is``: nothing is done. ``cold``: device and host tiers have been emptied.
    ``warm``: the run's own requests have been asked once, unmeasured. ``disk``: asked once, and device and host tiers emptied then.
    """

    isl: int
    osl: int
    concurrency: int | None = None
    arrival: Arrival = Arrival()
    workload: Workload = Workload()
    requests: int | None = None
    warmup_requests: int | None = None
    runs: int = 3
    ignore_eos: bool = True
    temperature: float | None = None
    cache: str = "as-is"
    keep_text: bool = False
    request_timeout_s: float = 120.0
    inter_token_timeout_s: float = 30.0
    max_failures_in_a_row: int | None = None

    @property
    def slots(self) -> int:
        """Requests in flight of a closed loop.

        :raises ValueError: for an open loop, or where the concurrency is missing (:func:`flaw` says it first).
        """
        if not self.arrival.closed or self.concurrency is None:
            msg = "only a closed loop has a concurrency"
            raise ValueError(msg)
        return self.concurrency

    @property
    def request_count(self) -> int:
        """Measured requests of one run."""
        if self.requests is not None:
            return self.requests
        if self.arrival.closed:
            return max(30, 4 * self.slots)
        return max(30, math.ceil(OPEN_LOOP_S * (self.arrival.mean_rate_per_s or 0.0)))

    @property
    def warmup_count(self) -> int:
        """Requests before the first measured one."""
        if self.warmup_requests is not None:
            return self.warmup_requests
        if self.arrival.closed:
            return max(2, self.slots)
        return 0 if self.arrival.process == "trace" else max(2, math.ceil(self.arrival.mean_rate_per_s or 0.0))

    @property
    def overhead(self) -> float:
        """What a run sends in all, warm-up and the warming of caches included, as a multiple of its measured requests."""
        askings = 2 if self.cache in {"warm", "disk"} else 1
        return askings * (self.warmup_count + self.request_count) / self.request_count

    @property
    def load_name(self) -> str:
        """``c64``, ``poisson-10`` (requests/s), ``sinusoidal-5-10``, ``trace``: what a case id says of the arrival process."""
        arrival = self.arrival
        if arrival.closed:
            return f"c{self.concurrency}"
        if arrival.process == "sinusoidal":
            return f"sinusoidal-{arrival.min_rate_per_s:g}-{arrival.max_rate_per_s:g}"
        return arrival.process if arrival.rate_per_s is None else f"{arrival.process}-{arrival.rate_per_s:g}"

    @property
    def workload_hash(self) -> str:
        """Digest of what is asked; how often it is repeated (``runs``), the deadlines and when to give up do not belong to it."""
        facts = asdict(self) | {"requests": self.request_count, "warmup_requests": self.warmup_count}
        for name in ("runs", "keep_text", "request_timeout_s", "inter_token_timeout_s", "max_failures_in_a_row"):
            del facts[name]
        if self.workload.kind not in ITEM_KINDS:
            facts["workload"] = {name: value for name, value in facts["workload"].items() if name not in {"shots", "limit", "subjects"}}
        if not self.workload.deal:
            facts["workload"] = {name: value for name, value in facts["workload"].items() if name != "deal"}
        if self.temperature is None:
            del facts["temperature"]  # what was asked before there was this key is still the same
        if self.cache == "as-is":
            del facts["cache"]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def flaw(traffic: Traffic) -> str | None:
    """What no single key shows: the first combination of keys that has no meaning, and what to do; ``None`` if none."""
    return _arrival_flaw(traffic) or _workload_flaw(traffic)


def cache_flaw(traffic: Traffic, topology: Topology) -> str | None:
    """What ``traffic.cache`` asks of caches that ``topology`` does not have; ``None`` if nothing."""
    if traffic.cache == "disk" and topology.kv_cache.disk_gib is None:
        return "traffic.cache = 'disk' has the tier on disk serve, and there is none: set topology.kv_cache.disk_gib and a connector"
    if traffic.cache == "warm" and topology.kv_cache.prefix_caching is False and topology.kv_cache.connector in {"none", "nixl"}:
        return (
            "traffic.cache = 'warm' asks for caches that hold what was asked, and none holds anything: "
            "topology.kv_cache.prefix_caching is false, and no connector keeps blocks elsewhere; set one of the two"
        )
    return None


def _arrival_flaw(traffic: Traffic) -> str | None:
    arrival = traffic.arrival
    if arrival.closed:
        if traffic.concurrency is None:
            return "traffic.concurrency is missing: a closed loop (traffic.arrival.process = 'concurrency') needs an integer of at least 1"
        if arrival.rate_per_s is not None:
            return "traffic.arrival.rate_per_s has no meaning in a closed loop: set traffic.arrival.process, or remove the rate"
        return None
    if traffic.concurrency is not None:
        return (
            f"traffic.concurrency has no meaning where traffic.arrival.process = {arrival.process!r}: an open loop never waits. "
            "Remove it; traffic.arrival.max_in_flight bounds what is in flight."
        )
    if arrival.process in {"constant", "poisson", "gamma"} and arrival.rate_per_s is None:
        return f"traffic.arrival.rate_per_s is missing: traffic.arrival.process = {arrival.process!r} needs a number greater than 0"
    if arrival.process == "sinusoidal":
        return _sine_flaw(arrival)
    if arrival.process == "trace" and traffic.requests is None:
        return "traffic.requests is missing: a trace is replayed as far as it says; `dynperf workload analyze FILE` counts its requests"
    if arrival.process == "trace" and arrival.ramp_s:
        return "traffic.arrival.ramp_s has no meaning with a trace, whose times are its own: remove it"
    return None


def _sine_flaw(arrival: Arrival) -> str | None:
    for name in ("min_rate_per_s", "max_rate_per_s", "period_s"):
        if getattr(arrival, name) is None:
            return f"traffic.arrival.{name} is missing: traffic.arrival.process = 'sinusoidal' needs it"
    low, high = arrival.min_rate_per_s, arrival.max_rate_per_s
    if low is not None and high is not None and low > high:
        return f"traffic.arrival.min_rate_per_s = {low:g} is above traffic.arrival.max_rate_per_s = {high:g}; exchange them"
    return None


def _items_flaw(traffic: Traffic) -> str | None:
    kind = traffic.workload.kind
    if kind == "fact-table" and traffic.workload.file is not None:
        return "traffic.workload.file has no meaning with traffic.workload.kind = 'fact-table', which is made by code: remove it"
    if not traffic.arrival.closed or traffic.arrival.ramp_s:
        return f"traffic.workload.kind = {kind!r} is asked in a closed loop without a ramp: set traffic.arrival.process = 'concurrency'"
    if traffic.ignore_eos:
        return f"traffic.ignore_eos is true: traffic.workload.kind = {kind!r} needs answers that end by themselves, set it to false"
    if traffic.temperature is None:
        return f"traffic.temperature is missing: with traffic.workload.kind = {kind!r} say how answers are drawn, 0 is greedy"
    if traffic.requests is None:
        return f"traffic.requests is missing: traffic.workload.kind = {kind!r} asks each question once, say how many (fact-table has 512)"
    return None


def _workload_flaw(traffic: Traffic) -> str | None:
    workload = traffic.workload
    if workload.kind in ITEM_KINDS:
        return _items_flaw(traffic)
    if workload.deal:
        return f"traffic.workload.deal deals the questions of a set, and traffic.workload.kind = {workload.kind!r} has none: remove it"
    if workload.kind in {"trace", "images", "prompts"} and workload.file is None:
        return f"traffic.workload.file is missing: traffic.workload.kind = {workload.kind!r} reads one"
    if traffic.arrival.process == "trace" and workload.kind not in {"trace", "conversation"}:
        return f"traffic.arrival.process = 'trace' takes its times from a trace; traffic.workload.kind = {workload.kind!r} has none"
    if workload.kind == "conversation" and not traffic.arrival.closed and traffic.arrival.process != "trace":
        return "conversations run in a closed loop or at a trace's times: set traffic.arrival.process to 'concurrency' or 'trace'"
    for low, high in (("min_isl", "max_isl"), ("min_osl", "max_osl")):
        least, most = getattr(workload, low), getattr(workload, high)
        if least is not None and most is not None and least > most:
            return f"traffic.workload.{low} = {least} is above traffic.workload.{high} = {most}; no request would be left"
    return None
