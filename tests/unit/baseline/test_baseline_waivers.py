"""Waivers as a file: what is read, and that nothing is half understood."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.baseline.waivers import read_waivers, waivers_path
from pytest_dynperf.errors import BaselineError

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = """[[waiver]]
case = "smoke/agg-*"
metric = "time_to_first_token"
reason = "the new tokenizer"
link = "https://example.org/7"
expires = 2027-01-31
"""


def written(root: Path, text: str | bytes) -> Path:
    path = waivers_path(root)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_no_file_is_no_waiver(tmp_path: Path) -> None:
    assert read_waivers(waivers_path(tmp_path)) == ()
    assert read_waivers(written(tmp_path, "")) == ()


def test_entries_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = read_waivers(written(tmp_path, ENTRY + ENTRY.replace('metric = "time_to_first_token"\n', "").replace("agg-*", "*")))
    assert found == (
        Waiver(
            case="smoke/agg-*",
            metric="time_to_first_token",
            reason="the new tokenizer",
            link="https://example.org/7",
            expires=datetime.date(2027, 1, 31),
        ),
        Waiver(case="smoke/*", reason="the new tokenizer", link="https://example.org/7", expires=datetime.date(2027, 1, 31)),
    )


def test_a_metric_may_have_its_version(tmp_path: Path) -> None:
    (found,) = read_waivers(written(tmp_path, ENTRY.replace("time_to_first_token", "time_to_first_token.v1")))
    assert found.metric == "time_to_first_token.v1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENTRY.replace("expires", "expire"), "waiver 1: there is no key 'expire' (did you mean 'expires'?)"),
        (ENTRY + ENTRY.replace("case =", "cases ="), "waiver 2: there is no key 'cases' (did you mean 'case'?)"),
        (ENTRY.replace("[[waiver]]", "[[waivers]]"), "there is no key 'waivers' (did you mean 'waiver'?)"),
        (ENTRY.replace("[[waiver]]", "[waiver]"), "in double brackets"),
        ("waiver = 3", "in double brackets"),
        (ENTRY.replace('reason = "the new tokenizer"\n', ""), "waiver 1: reason is missing"),
        (ENTRY.replace("the new tokenizer", " "), "waiver 1: reason must be text that is not empty"),
        (ENTRY.replace('"https://example.org/7"', "7"), "waiver 1: link must be text"),
        (ENTRY.replace("https://example.org/7", "ask me"), "waiver 1: link is 'ask me'"),
        (ENTRY.replace("time_to_first_token", "time_to_first_tokn"), "(did you mean 'time_to_first_token"),
        (ENTRY.replace("smoke/agg-*", "agg-c4"), "waiver 1: case is 'agg-c4', expected SUITE/CASE"),
        (ENTRY.replace("expires = 2027-01-31\n", ""), "waiver 1: expires is missing"),
        (ENTRY.replace("2027-01-31", '"2027-01-31"'), "waiver 1: expires must be a date without quotes"),
        (ENTRY.replace("2027-01-31", "2027-01-31T00:00:00Z"), "waiver 1: expires must be a date"),
        (ENTRY.replace("2027-01-31", "2027-02-30"), "is not TOML"),
        (ENTRY + 'case = "twice/x"\n', "is not TOML"),
        ("<<<<<<< HEAD\n" + ENTRY, "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
    ],
)
def test_what_is_not_understood_is_refused_with_file_entry_and_key(tmp_path: Path, text: str | bytes, expected: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BaselineError) as caught:
        read_waivers(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_directory_in_its_place_is_no_missing_file(tmp_path: Path) -> None:
    waivers_path(tmp_path).mkdir()
    with pytest.raises(BaselineError, match="cannot be read"):
        read_waivers(waivers_path(tmp_path))
