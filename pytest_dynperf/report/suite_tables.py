"""Cases of one suite side by side, by what the suite asks: tiers, speculation, routing, transfer, faults. Picks columns; computes medians
over runs, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.quantity import Unit
from pytest_dynperf.report import wording
from pytest_dynperf.report.meaning import ITL, THROUGHPUT, TTFT, label, meaning_of
from pytest_dynperf.report.scale_text import value_text
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_dynperf.report.session_report import CaseResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """``applies`` says whether a case is of this kind; ``cells`` are its columns, ``said`` is one more at the beginning, in words."""

    name: str
    title: str
    note: str
    applies: Callable[[CaseResult], bool]
    cells: tuple[Cell, ...]
    said_title: str = ""
    said: Callable[[CaseResult], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Entry:
    """``text`` of a value; ``share`` from 0 to 1 where it is a part of a whole, to be drawn."""

    text: str
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTable:
    """One suite as one kind. ``rows`` hold the case and one entry per title; the first titles may be words."""

    kind: Kind
    suite: str
    question: str
    titles: tuple[str, ...]
    rows: tuple[tuple[CaseResult, tuple[Entry, ...]], ...]


def _value(name: str) -> Cell:
    return Cell(f"{name}.v1", "value")


_TIERS = tuple(
    map(
        _value,
        (
            "prefix_cache_hit_rate", "external_cache_hit_rate", "lmcache_l1_hit_rate", "lmcache_l2_hit_rate", "kvbm_matched_tokens",
            "kvbm_blocks_onboarded_from_host", "kvbm_blocks_onboarded_from_disk", "kvbm_blocks_onboarded_from_store",
            "kvbm_blocks_offloaded_to_host", "kvbm_blocks_offloaded_to_disk", "kvbm_blocks_offloaded_to_store",
        ),
    )
)  # fmt: skip
_SPECULATION = tuple(
    map(
        _value,
        ("speculation_acceptance_rate", "speculation_acceptance_length", *(f"speculation_acceptance_rate_at_{n}" for n in range(1, 6))),
    )
)
_ROUTING = tuple(
    map(_value, ("router_hit_rate", "prefix_cache_hit_rate", "cached_token_rate", "worker_imbalance", "router_overhead", "router_events"))
)
_TRANSFER = tuple(map(_value, ("kv_transfers", "kv_transferred_bytes", "kv_transfer_failures", "external_prompt_tokens")))
_FAULTS = tuple(map(_value, ("fault_recovery_time", "fault_stall", "fault_error_rate", "hung_request_rate", "request_migrations")))

_SHORT = {
    "prefix_cache_hit_rate.v1": "Device hits",
    "external_cache_hit_rate.v1": "Outer hits",
    "lmcache_l1_hit_rate.v1": "LMCache host",
    "lmcache_l2_hit_rate.v1": "LMCache below",
    "kvbm_matched_tokens.v1": "KVBM matched",
    "kvbm_blocks_onboarded_from_host.v1": "From host",
    "kvbm_blocks_onboarded_from_disk.v1": "From disk",
    "kvbm_blocks_onboarded_from_store.v1": "From store",
    "kvbm_blocks_offloaded_to_host.v1": "To host",
    "kvbm_blocks_offloaded_to_disk.v1": "To disk",
    "kvbm_blocks_offloaded_to_store.v1": "To store",
    "speculation_acceptance_rate.v1": "Accepted",
    "speculation_acceptance_length.v1": "Tokens a step",
    **{f"speculation_acceptance_rate_at_{n}.v1": f"at {n}" for n in range(1, 6)},
    "router_hit_rate.v1": "Router's hits",
    "cached_token_rate.v1": "Cached tokens",
    "worker_imbalance.v1": "Imbalance",
    "router_overhead.v1": "Router overhead",
    "router_events.v1": "Events",
    "kv_transfers.v1": "Transfers",
    "kv_transferred_bytes.v1": "Transferred",
    "kv_transfer_failures.v1": "Failed",
    "external_prompt_tokens.v1": "Prompt tokens received",
    "fault_recovery_time.v1": "Recovered after",
    "fault_stall.v1": "Longest stall",
    "fault_error_rate.v1": "Failed",
    "hung_request_rate.v1": "Hung",
    "request_migrations.v1": "Migrations",
}


def _has(result: CaseResult, cells: Sequence[Cell]) -> bool:
    runs = result.measurement.runs if result.measurement else ()
    return any(run.values.get(cell) for run in runs for cell in cells)


def _fault_words(result: CaseResult) -> str:
    fault = result.case.fault
    return "none" if fault is None else fault.inject


def _router_words(result: CaseResult) -> str:
    topology = result.case.topology
    approximate = ", approximate" if topology.router_mode == "kv" and topology.router.kv_events is False else ""
    return f"{topology.router_mode}{approximate}, {wording.counted(topology.worker_count, 'worker')}"


def _tier_words(result: CaseResult) -> str:
    cache = result.case.topology.kv_cache
    sizes = [f"{name} {size} GB" for name, size in (("host", cache.host_gib), ("disk", cache.disk_gib)) if size is not None]
    return ", ".join([cache.connector, *sizes, *(["object store"] if cache.object_store_url else []), f"cache {result.case.traffic.cache}"])


def _speculation_words(result: CaseResult) -> str:
    asked = result.case.topology.speculation
    return asked.method if asked.method == "none" or asked.tokens is None else f"{asked.method}, {asked.tokens} tokens"


def _is_about_tiers(result: CaseResult) -> bool:
    return (
        result.case.topology.kv_cache.connector not in ("none", "nixl") or _has(result, _TIERS[1:]) or result.case.traffic.cache == "disk"
    )


KINDS = (
    Kind(
        name="tiers",
        title="KV cache tiers",
        note="Where the beginnings of prompts came from. Hits: shares of the prompt tokens that were looked up; of blocks, how many moved.",
        applies=_is_about_tiers,
        cells=(TTFT, THROUGHPUT, *_TIERS),
        said_title="Tiers",
        said=_tier_words,
    ),
    Kind(
        name="speculation",
        title="Speculative decoding",
        note="Accepted: share of the drafted tokens; at n: share of drafts whose nth token was accepted; a step without drafts gives one.",
        applies=lambda result: result.case.topology.speculation.method != "none" or _has(result, _SPECULATION),
        cells=(THROUGHPUT, ITL, *_SPECULATION),
        said_title="Method",
        said=_speculation_words,
    ),
    Kind(
        name="routing",
        title="Routing",
        note="Router's hits: what it expected to find; device hits: what workers found. Imbalance: how unevenly workers were asked.",
        applies=lambda result: result.case.topology.router_mode == "kv" and result.case.topology.worker_count > 1,
        cells=(TTFT, THROUGHPUT, *_ROUTING),
        said_title="Router",
        said=_router_words,
    ),
    Kind(
        name="transfer",
        title="Transfer from prefill to decode",
        note="What prefill workers handed to decode workers.",
        applies=lambda result: result.case.topology.mode == "disagg" and _has(result, _TRANSFER),
        cells=(TTFT, ITL, THROUGHPUT, *_TRANSFER),
    ),
    Kind(
        name="faults",
        title="Faults",
        note="Recovered after: from the fault until ten requests in a row went well. Failed and hung: shares of the requests. "
        "In the drawings over time the fault is shaded.",
        applies=lambda result: result.case.fault is not None,
        cells=_FAULTS,
        said_title="Fault",
        said=_fault_words,
    ),
)


def suite_tables(results: Sequence[CaseResult]) -> list[SuiteTable]:
    """Per suite one table of each kind that one of its cases is of, with all cases of the suite: the arms without are what it is held
    against. Columns in which no case has a value are left out; invalid cases have a row without values.
    """
    found = []
    for suite in dict.fromkeys(result.case.suite for result in results):
        members = [result for result in results if result.case.suite == suite]
        found += [_table(kind, suite, members) for kind in KINDS if any(kind.applies(result) for result in members)]
    return found


def _table(kind: Kind, suite: str, members: Sequence[CaseResult]) -> SuiteTable:
    values = {result.case.name: [_median(result, cell) for cell in kind.cells] for result in members}
    used = [place for place in range(len(kind.cells)) if any(row[place] is not None for row in values.values())]
    titles = [_SHORT.get(kind.cells[place].metric, label(kind.cells[place])) for place in used]
    rows = []
    for result in members:
        said = [Entry(kind.said(result))] if kind.said_title else []
        entries = [_entry(values[result.case.name][place], kind.cells[place], result) for place in used]
        rows.append((result, (*said, *entries)))
    return SuiteTable(
        kind=kind,
        suite=suite,
        question=members[0].case.question,
        titles=(*([kind.said_title] if kind.said_title else []), *titles),
        rows=tuple(rows),
    )


def _median(result: CaseResult, cell: Cell) -> float | None:
    if result.verdict.outcome is Outcome.INVALID or result.measurement is None:
        return None
    values = [run.values[cell] for run in result.measurement.runs if cell in run.values]
    return median(values) if values else None


def _entry(value: float | None, cell: Cell, result: CaseResult) -> Entry:
    means = meaning_of(cell.metric, result.meanings)
    is_share = (
        means is not None and means.unit is Unit.RATIO and value is not None and 0 <= value <= 1 and cell.metric != "worker_imbalance.v1"
    )
    return Entry(value_text(value, means), value if is_share else None)
