"""Pages to series: which name is read, what is summed, what is kept apart."""

from __future__ import annotations

import pytest

from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.observation.series import Series, SeriesKind
from pytest_dynperf.telemetry.names import BY_SAMPLE, TABLE, Form
from pytest_dynperf.telemetry.prometheus import parse
from pytest_dynperf.telemetry.translate import series_of


def translated(*pages: str, raw: bool = False) -> dict[tuple[str, tuple[tuple[str, str], ...]], Series]:
    stamps = tuple(range(10, 10 * len(pages) + 1, 10))
    found = series_of("worker-0", stamps, [parse(page, wanted=None if raw else BY_SAMPLE) for page in pages], raw=raw)
    return {(series.id, series.labels): series for series in found}


def test_a_counter_is_summed_over_its_label_sets() -> None:
    found = translated(
        'dynamo_frontend_requests_total{status="success"} 10\ndynamo_frontend_requests_total{status="error"} 1\n',
        'dynamo_frontend_requests_total{status="success"} 13\ndynamo_frontend_requests_total{status="error"} 2\n',
    )
    assert found == {
        (ids.FRONTEND_REQUESTS, ()): Series(
            id=ids.FRONTEND_REQUESTS, source="worker-0", kind=SeriesKind.COUNTER, stamps_ns=(10, 20), values=(0.0, 4.0)
        )
    }


def test_a_counter_that_lacks_its_suffix_is_the_same() -> None:
    pages = ("# TYPE kvbm_matched_tokens counter\nkvbm_matched_tokens 5\n", "kvbm_matched_tokens 9\n")
    for raw in (False, True):
        assert translated(*pages, raw=raw)[(ids.KVBM_MATCHED_TOKENS, ())].values == (0.0, 4.0)


def test_a_histogram_has_three_parts_in_seconds() -> None:
    def page(sum_ms: float, count: int, first: int) -> str:
        name = "dynamo_router_overhead_total_ms"
        return f'{name}_sum {sum_ms}\n{name}_count {count}\n{name}_bucket{{le="0.5"}} {first}\n{name}_bucket{{le="+Inf"}} {count}\n'

    found = translated(page(10, 20, 15), page(14, 30, 24))
    assert {key: series.values[-1] for key, series in found.items()} == {
        (ids.ROUTER_OVERHEAD + ids.SUM, ()): pytest.approx(0.004),
        (ids.ROUTER_OVERHEAD + ids.COUNT, ()): 10.0,
        (ids.ROUTER_OVERHEAD + ids.BUCKET, (("le", "0.0005"),)): 9.0,
        (ids.ROUTER_OVERHEAD + ids.BUCKET, (("le", "inf"),)): 10.0,
    }
    assert all(series.kind is SeriesKind.HISTOGRAM_PART for series in found.values())


def test_the_newer_of_two_names_is_read() -> None:
    """The mocker states both names of vLLM's KV cache usage: they are one thing."""
    both = 'vllm:gpu_cache_usage_perc{engine="0"} 0.9\nvllm:kv_cache_usage_perc{engine="0"} 0.5\n'
    (series,) = translated(both).values()
    assert (series.id, series.labels, series.values) == (ids.ENGINE_KV_CACHE_USAGE, (("engine", "0"),), (0.5,))
    old = translated("vllm:gpu_cache_usage_perc 0.9\n", "vllm:gpu_cache_usage_perc 0.8\n")
    assert old[(ids.ENGINE_KV_CACHE_USAGE, ())].values == (0.9, 0.8)


def test_a_gauge_keeps_its_label_sets_apart_and_its_own_stamps() -> None:
    found = translated(
        'vllm:num_requests_running{engine="0"} 1\n',
        'vllm:num_requests_running{engine="0"} 2\nvllm:num_requests_running{engine="1"} 7\n',
        'vllm:num_requests_running{engine="0"} NaN\nvllm:num_requests_running{engine="1"} 8\n',
    )
    first, second = (found[(ids.ENGINE_REQUESTS_RUNNING, (("engine", n),))] for n in "01")
    assert (first.stamps_ns, first.values) == ((10, 20), (1.0, 2.0))
    assert (second.stamps_ns, second.values) == ((20, 30), (7.0, 8.0))


def test_a_counter_that_comes_midway_counts_from_zero() -> None:
    (series,) = translated("up 1\n", "vllm:num_preemptions_total 3\n", "vllm:num_preemptions_total 5\n").values()
    assert (series.stamps_ns, series.values) == ((10, 20, 30), (0.0, 3.0, 5.0))


def test_a_counter_that_is_not_a_number_for_once_goes_on() -> None:
    pages = (f"vllm:num_preemptions_total {value}\n" for value in ("4", "NaN", "6", "+Inf", "7"))
    (series,) = translated(*pages).values()
    assert series.values == (0.0, 0.0, 2.0, 2.0, 3.0)


def test_one_name_may_stand_for_two_ids() -> None:
    found = translated("sglang:prompt_tokens_total 10\n", "sglang:prompt_tokens_total 14\n")
    assert {key[0]: series.values[-1] for key, series in found.items()} == {ids.ENGINE_PROMPT_TOKENS: 4.0, ids.ENGINE_PREFIX_QUERIES: 4.0}


def test_labels_that_matter_keep_a_counter_apart() -> None:
    """Accepted tokens by position: over the ranks of the engine they are summed, over the positions they are not."""

    def page(first: int, second: int) -> str:
        name = "vllm:spec_decode_num_accepted_tokens_per_pos_total"
        return "".join(
            f'{name}{{engine="{engine}",position="{position}"}} {value}\n'
            for engine in "01"
            for position, value in enumerate((first, second))
        )

    found = translated(page(10, 5), page(14, 6), page(20, 6))
    assert {labels: series.values for (_, labels), series in found.items()} == {
        (("position", "0"),): (0.0, 8.0, 20.0),
        (("position", "1"),): (0.0, 2.0, 2.0),
    }
    assert {key[0] for key in found} == {ids.ENGINE_ACCEPTED_AT_POSITION}


def test_only_what_the_table_asks_for_is_counted() -> None:
    name = "vllm:prompt_tokens_by_source_total"
    pages = (f'{name}{{source="local_compute"}} {n}\n{name}{{source="external_kv_transfer"}} {10 * n}\n' for n in (1, 3))
    assert [series.values for series in translated(*pages).values()] == [(0.0, 20.0)]
    unwanted = "".join(f'{name}{{source="local_cache_hit"}} 5\n' for _ in range(2))
    assert translated(unwanted, unwanted) == {}


def test_unknown_names_are_dropped_unless_they_are_asked_for() -> None:
    page = '# TYPE x_total counter\nx_total{a="1"} 5\n# TYPE g gauge\ng 3\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 2\nh_count 1\n'
    assert translated(page, page) == {}
    found = translated(page, page.replace(" 5", " 8"), raw=True)
    assert {key: (series.kind, series.values[-1]) for key, series in found.items()} == {
        ("raw:x_total", (("a", "1"),)): (SeriesKind.COUNTER, 3.0),
        ("raw:g", ()): (SeriesKind.GAUGE, 3.0),
        ("raw:h_bucket", (("le", "1"),)): (SeriesKind.HISTOGRAM_PART, 0.0),
        ("raw:h_sum", ()): (SeriesKind.HISTOGRAM_PART, 0.0),
        ("raw:h_count", ()): (SeriesKind.HISTOGRAM_PART, 0.0),
    }


def test_no_page_gives_no_series() -> None:
    assert series_of("worker-0", (), ()) == ()


def test_every_id_has_a_name_and_every_name_an_id() -> None:
    # Those of GPUs come from the driver, those of faults from whoever injects them, and neither from a page.
    known = {
        value
        for name, value in vars(ids).items()
        if name.isupper() and name not in {"SUM", "COUNT", "BUCKET"} and not value.startswith(("gpu.", "fault."))
    }
    assert {name.series for name in TABLE} == known


def test_an_id_has_one_form() -> None:
    forms: dict[str, set[Form]] = {}
    for name in TABLE:
        forms.setdefault(name.series, set()).add(name.form)
    assert all(len(found) == 1 for found in forms.values())
    assert all(name.evidence.startswith(("seen: ", "read: ")) for name in TABLE)
