"""Pages as servers send them, and pages that are none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.telemetry.prometheus import Sample, parse

PAGE = """\
# HELP dynamo_frontend_requests_total Total number of LLM requests processed
# TYPE dynamo_frontend_requests_total counter
dynamo_frontend_requests_total{model="m",status="success"} 12
# TYPE applied counter
applied{status="ok"} 14

# TYPE h histogram
h_bucket{le="0.1"} 3
h_bucket{le="+Inf"} 4
h_sum 0.5
h_count 4
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a \\"b\\" {c} # d"} 2.0 1700000000000
untyped 7
"""


def test_a_page_by_hand() -> None:
    page = parse(PAGE)
    assert page.samples == (
        Sample("dynamo_frontend_requests_total", (("model", "m"), ("status", "success")), 12.0, "counter"),
        Sample("applied_total", (("status", "ok"),), 14.0, "counter"),
        Sample("h_bucket", (("le", "0.1"),), 3.0, "histogram"),
        Sample("h_bucket", (("le", "+Inf"),), 4.0, "histogram"),
        Sample("h_sum", (), 0.5, "histogram"),
        Sample("h_count", (), 4.0, "histogram"),
        Sample("vllm:num_requests_running", (("engine", "0"), ("model_name", 'a "b" {c} # d')), 2.0, "gauge"),
        Sample("untyped", (), 7.0, "unknown"),
    )
    assert (page.lines, page.malformed) == (8, ())


def test_only_what_is_wanted_is_parsed() -> None:
    page = parse(PAGE + "broken{ 1\n", wanted={"untyped", "h_sum"})
    assert [(sample.name, sample.value) for sample in page.samples] == [("h_sum", 0.5), ("untyped", 7.0)]
    assert (page.lines, page.malformed) == (9, ())


def test_instants_of_creation_are_no_values() -> None:
    """Python's client library states one beside each counter: 1.7e9, which no rate survives."""
    page = parse("# TYPE a_total counter\na_total 3\n# TYPE a_created gauge\na_created 1.7e9\nh_created 1.7e9\n")
    assert [(sample.name, sample.value) for sample in page.samples] == [("a_total", 3.0)]


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf", "1e-3", "0x10"])
def test_values_that_are_not_finite_are_numbers_and_others_are_not(text: str) -> None:
    page = parse(f"a {text}\nb 2\n")
    if text == "0x10":
        assert [sample.name for sample in page.samples] == ["b"]
        assert page.malformed == ("a 0x10",)
    else:
        assert len(page.samples) == 2
        assert page.samples[0].value == pytest.approx(float(text), nan_ok=True)


def test_exemplars_are_dropped() -> None:
    page = parse('h_bucket{le="1"} 3 # {trace_id="abc"} 0.5 1700000000.1\na_total 2 # {} 1\n')
    assert [(sample.name, sample.value) for sample in page.samples] == [("h_bucket", 3.0), ("a_total", 2.0)]


@pytest.mark.parametrize("broken", ['a{b="c} 1', "a", "a b c", "=", '"a" 1', "# TYPE a bogus\n<p>"])
def test_a_broken_line_costs_that_line(broken: str) -> None:
    page = parse(f"before 1\n{broken}\nafter 2\n")
    assert [(sample.name, sample.value) for sample in page.samples] == [("before", 1.0), ("after", 2.0)]
    assert page.malformed == (broken.splitlines()[-1],)


def test_a_page_for_people_has_no_line() -> None:
    page = parse("<html>\n<body>404</body>\n</html>\n")
    assert (page.samples, page.lines, len(page.malformed)) == ((), 0, 3)


def test_nothing_is_nothing() -> None:
    assert parse("") == parse("\n# EOF\n") == parse("# a comment\n")


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_survived(text: str) -> None:
    page = parse(text)
    assert all(isinstance(sample.value, float) for sample in page.samples)


LABEL = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\x85"), max_size=10)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(LABEL, st.floats(allow_nan=False)), max_size=6, unique_by=lambda pair: pair[0]))
def test_what_was_written_is_read(pairs: list[tuple[str, float]]) -> None:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"')

    page = parse("".join(f'a{{b="{escaped(label)}"}} {value!r}\n' for label, value in pairs))
    assert page.malformed == ()
    assert [(dict(sample.labels)["b"], sample.value) for sample in page.samples] == pairs
    assert not any(math.isnan(sample.value) for sample in page.samples)
