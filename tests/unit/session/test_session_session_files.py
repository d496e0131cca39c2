"""The quick parser of a session gives what ``json`` gives, and refuses what ``json`` refuses, in its words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.session.session_files import _parsed


def parsed(text: str) -> object:
    return _parsed(text)[0]


BASE = '{"a": [1, 2.5, null, true], "b": {"c": "d\\u00e9", "e": -0.0}, "f": "é"}'
TOKENS = (
    *('"', ":", ",", "{", "}", "[", "]", "\\", "\\ud800", "\x00", "\x0b", "\ufeff", "\t", "NaN", "-Infinity", "1e999", "-0", "01", ".5"),
    *("1" * 25, "1" * 400, "1" * 5000, "1e-400", "0.1e1", '"a": 3,', '"\\u0000"', "/**/", "'"),
)


def answer(parse: object, text: str) -> str:
    assert callable(parse)
    try:
        return repr(parse(text))
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(TOKENS)), max_size=2))
def test_texts_are_parsed_as_json_parses_them(changes: list[tuple[float, int, str]]) -> None:
    text = BASE
    for share, removed, token in changes:
        at = int(share * len(text))
        text = text[:at] + token + text[at + removed :]
    assert answer(parsed, text) == answer(json.loads, text)


@pytest.mark.parametrize("text", ["[" * 100_000, "", " ", "1e999", '"\\ud800"', "1" * 5000])
def test_what_the_quick_parser_does_not_take_is_left_to_json(text: str) -> None:
    assert answer(parsed, text) == answer(json.loads, text)
