"""The quick reading against the strict one: where it gives a document at all, it gives the same, to the last digit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pytest_dynperf.baseline.codec import decode, encode
from pytest_dynperf.baseline.migration import migrated
from pytest_dynperf.baseline.quick_document import quickly
from pytest_dynperf.baseline.strict_document import document_of
from pytest_dynperf.baseline.strict_json import Flaw, as_table, integer_at, parsed
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.metrics.catalogue import CATALOGUE
from tests.unit.baseline.test_baseline_codec import BAD, DISTRIBUTION, DOCUMENT, FILE, documents, run_changed

if TYPE_CHECKING:
    from pytest_dynperf.baseline.document import Baseline

TEXT = encode(DOCUMENT)
RICH = run_changed(
    distributions={"time_to_first_token.v1": {**DISTRIBUTION, "percentiles": {"p1": 1.0}}}, parts={next(iter(DOCUMENT.units)): [1, 2]}
)


def strictly(text: str) -> Baseline | None:
    try:
        table = as_table(parsed(text), "the document")
        return document_of(migrated(table, integer_at(table, "schema", "the document")))
    except Flaw:
        return None


@settings(max_examples=60, deadline=None)
@given(documents)
def test_a_document_as_it_was_written_is_read_quickly_and_the_same(document: Baseline) -> None:
    text = encode(document)
    assume("u003" not in text)
    assert repr(quickly(text)) == repr(strictly(text)) == repr(decode(text, file=FILE))


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_is_never_vouched_for(name: str) -> None:
    text, _ = BAD[name]
    assert quickly(text) is None


def test_colons_in_texts_do_not_slow_it() -> None:
    text = TEXT.replace('"reason": null', '"reason": "a: b, ::c"').replace('"epoch": 0', '"epoch": 12')
    assert quickly(text) is not None
    assert repr(quickly(text)) == repr(strictly(text))


def lines_twice() -> list[str]:
    lines = RICH.replace("{", "{\n").replace("}", "\n}").replace(", ", ",\n").splitlines()
    return [line for line in lines if line.rstrip(",").count('": ') == 1 and not line.endswith(("{", "[")) and "[" not in line]


@pytest.mark.parametrize("line", sorted({*(line.rstrip(",") for line in lines_twice()), '"time_to_first_token.v1": [1, 2]'}))
def test_a_key_that_is_there_twice_is_found_wherever_it_is(line: str) -> None:
    text = RICH.replace(line, f"{line}, {line}", 1)
    assert quickly(RICH) is not None
    assert quickly(text) is None
    with pytest.raises(BaselineError, match="is there twice"):
        decode(text, file=FILE)


@pytest.mark.parametrize("name", ["key", "provenance", "metrics", "runs"])
def test_a_table_that_is_there_twice_is_found(name: str) -> None:
    whole = f'"{name}": ' + ("[]" if name == "runs" else "{}")
    text = TEXT.replace("{", "{" + whole + ",", 1)
    assert quickly(text) is None
    with pytest.raises(BaselineError, match=f"'{name}' is there twice"):
        decode(text, file=FILE)


def test_an_escaped_colon_hides_no_key_that_is_there_twice() -> None:
    text = TEXT.replace('"reason": null', '"reason": "a\\u003ab"').replace('"epoch": 0', '"epoch": 0, "epoch": 1')
    assert quickly(text) is None
    with pytest.raises(BaselineError, match="'epoch' is there twice"):
        decode(text, file=FILE)


def test_deep_nesting_inside_a_table_is_told() -> None:
    text = TEXT.replace('"provenance": {', '"provenance": {"a": ' + "[" * 100_000 + "]" * 100_000 + ",", 1)
    assert quickly(text) is None
    with pytest.raises(BaselineError, match="too deeply"):
        decode(text, file=FILE)


def test_an_older_schema_is_left_to_the_strict_reading() -> None:
    assert quickly(TEXT.replace('"schema": 2', '"schema": 1')) is None


def test_tables_that_documents_share_in_their_files_are_apart_in_memory() -> None:
    first, second = quickly(TEXT), quickly(TEXT)
    assert first is not None
    assert second is not None
    assert first == second
    for name in ("key", "provenance", "units", "unknown_metrics"):
        assert getattr(first, name) is not getattr(second, name)


TOKENS = (
    *('"', ":", ",", "{", "}", "[", "]", "\\", "\\u003a", "\\u003A", "\\ud800", " ", "\n", "\t", "\x0b", "\x00", "\ufeff", "\u2028", "é"),
    *("null", "true", "NaN", "-", "-0", "-0.0", "0", "1e999", "1e-999", "1" * 400, "1" * 5000, "1.5", ".5", "+1", "2e0", "{}", "[]", '""'),
    *('"epoch": 1,', '"a": 1,', '"a": "b",', '"n": 3,', '"sd": null,', '"p50": 1.0,', '"stamp": ":",', '":": ":",'),
    *(f'"{name}/p50": 1.0,' for name in sorted(CATALOGUE)[:3]),
)


@settings(max_examples=600, deadline=None)
@given(
    base=st.sampled_from((TEXT, RICH)),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.sampled_from(TOKENS)), min_size=1, max_size=3),
)
@example(base=TEXT, places=[(0.0, 0, "\ufeff")])
@example(base=TEXT, places=[(1.0, 0, "x")])
def test_whatever_is_done_to_a_text_both_readings_agree(base: str, places: list[tuple[float, int, str]]) -> None:
    text = base
    for share, removed, token in places:
        at = int(share * len(text))
        text = text[:at] + token + text[at + removed :]
    quick = quickly(text)
    assert quick is None or repr(quick) == repr(strictly(text))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from((("96.0", "-?[0-9]{1,22}(\\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?"), ('"epoch": 0', '"epoch": -?[0-9]{1,30}'))).flatmap(
        lambda pair: st.tuples(st.just(pair[0]), st.from_regex(pair[1], fullmatch=True))
    )
)
def test_numbers_are_read_to_the_last_digit(change: tuple[str, str]) -> None:
    text = TEXT.replace(*change)
    quick = quickly(text)
    assert quick is None or repr(quick) == repr(strictly(text))
