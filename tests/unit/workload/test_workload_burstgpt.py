"""BurstGPT's rows become requests in the documented order of filters; what is wrong is named with line and column."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.workload.analysis import analyze
from pytest_dynperf.workload.burstgpt import Selection, convert
from pytest_dynperf.workload.trace import blocks_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.workload.burstgpt import Converted

HEADER = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
ROWS = (
    "5,ChatGPT,472,18,490,Conversation log",
    "45,ChatGPT,1087,230,1317,Conversation log",
    "118,GPT-4,417,276,693,Conversation log",
    "118,ChatGPT,1360,0,1360,Conversation log",
    "150.5,ChatGPT,185,27,212,API log",
    "200,ChatGPT,0,12,12,Conversation log",
    "300,ChatGPT,300,9,309,Conversation log",
)


def table(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "BurstGPT.csv"
    path.write_text("".join(f"{row}\n" for row in (header, *rows)))
    return path


def converted(path: Path, selection: Selection | None = None, *, speed: float = 1.0, hash_blocks: int = 10_000, seed: int = 0) -> Converted:
    return convert(path, selection or Selection(), speed=speed, block_size=128, hash_blocks=hash_blocks, seed=seed)


def error_of(path: Path, selection: Selection | None = None) -> str:
    with pytest.raises(WorkloadError) as caught:
        converted(path, selection)
    return str(caught.value)


def lines(result: Converted) -> list[int]:
    return [entry.line for entry in result.entries]


def test_the_rows(tmp_path: Path) -> None:
    result = converted(table(tmp_path, *ROWS))
    assert lines(result) == [2, 3, 4, 6, 8]
    assert [entry.at_s for entry in result.entries] == [0.0, 40.0, 113.0, 145.5, 295.0]
    assert [(entry.isl, entry.osl) for entry in result.entries[:2]] == [(472, 18), (1087, 230)]
    assert all(len(entry.hash_ids) == blocks_of(entry.isl, 128) for entry in result.entries)
    assert (result.rows, result.other, result.failed, result.empty) == (7, 0, 1, 1)


def test_filters_come_in_their_order(tmp_path: Path) -> None:
    path = table(tmp_path, *ROWS)
    assert lines(converted(path, Selection(model="GPT-4"))) == [4]
    assert lines(converted(path, Selection(log_type="API log"))) == [6]
    chat = Selection(model="ChatGPT", log_type="Conversation log")
    assert lines(converted(path, chat)) == [2, 3, 8]
    assert converted(path, chat).other == 2
    # Skip counts rows that are left, then head; times begin at what remains.
    result = converted(path, Selection(model="ChatGPT", log_type="Conversation log", skip=1, head=1), speed=2.0)
    assert lines(result) == [3]
    assert result.entries[0].at_s == 0.0
    assert lines(converted(path, Selection(keep_failed=True))) == [2, 3, 4, 5, 6, 8]
    assert converted(path, Selection(keep_failed=True)).entries[3].osl == 0


def test_what_comes_after_the_head_is_not_read(tmp_path: Path) -> None:
    assert lines(converted(table(tmp_path, *ROWS, "nonsense"), Selection(head=2))) == [2, 3]


def test_times_are_divided_by_the_speed(tmp_path: Path) -> None:
    assert [entry.at_s for entry in converted(table(tmp_path, *ROWS), speed=2.0).entries] == [0.0, 20.0, 56.5, 72.75, 147.5]


def test_hashes_follow_the_seed(tmp_path: Path) -> None:
    path = table(tmp_path, *ROWS)
    first, again, other = ([entry.hash_ids for entry in converted(path, seed=seed).entries] for seed in (1, 1, 2))
    assert first == again != other


def test_hashes_are_uniform_up_to_their_number_inclusive(tmp_path: Path) -> None:
    path = table(tmp_path, *(f"{at},GPT-4,12800,1,0,API log" for at in range(100)))
    drawn = Counter(chain.from_iterable(entry.hash_ids for entry in converted(path, hash_blocks=3).entries))
    assert set(drawn) == {0, 1, 2, 3}
    assert all(abs(count - 2500) < 5 * 50 for count in drawn.values())


def test_without_hash_blocks_nothing_is_shared(tmp_path: Path) -> None:
    result = converted(table(tmp_path, *ROWS), hash_blocks=0)
    assert analyze(result.entries, block_size=128).token_hit_rate == 0
    assert converted(table(tmp_path, *ROWS), hash_blocks=1).entries != result.entries


def test_columns_may_stand_anywhere_and_others_beside_them(tmp_path: Path) -> None:
    path = table(tmp_path, "API log,7,x,9,3,GPT-4", header="Log Type,Request tokens,Elapsed time,Response tokens,Timestamp,Model")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    (entry,) = converted(path).entries
    assert (entry.isl, entry.osl) == (7, 9)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("7,ChatGPT,many,18,490,API log", "Request tokens: 'many' found, expected a number from 0"),
        ("7,ChatGPT,-4,18,490,API log", "Request tokens: '-4' found"),
        ("7,ChatGPT,4.5,18,490,API log", "Request tokens: '4.5' found, expected a whole number of tokens"),
        ("7,ChatGPT,4,nan,490,API log", "Response tokens: 'nan' found"),
        ("inf,ChatGPT,4,18,490,API log", "Timestamp: 'inf' found"),
        ("7,ChatGPT,4,18,1e10,API log".replace("18", "1e10"), "Response tokens: '1e10' found"),
        (",ChatGPT,4,18,490,API log", "Timestamp: '' found"),
        ("7,ChatGPT,4", "column 'Log Type' is missing: the row has 3 cells. Was the file cut off?"),
        ("4,ChatGPT,4,18,490,API log", "Timestamp 4 is before that of line 2, 5"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    path = table(tmp_path, ROWS[0], row)
    message = error_of(path)
    assert message.startswith(f"{path}:3: ")
    assert said in message


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, *ROWS, header=HEADER.replace("Response tokens", "Respnse tokens"))
    assert error_of(path).startswith(f"{path}:1: column 'Response tokens' is missing (did you mean 'Respnse tokens'?)")
    path.write_text("")
    assert "column 'Timestamp' is missing; there are none" in error_of(path)


def test_nothing_left_says_where_all_went(tmp_path: Path) -> None:
    path = table(tmp_path, *ROWS)
    assert "none of 7 rows is left (7 other, 0 failed, 0 empty; 0 to be skipped)" in error_of(path, Selection(model="GPT-5"))
    assert "none of 7 rows is left (0 other, 1 failed, 1 empty; 9 to be skipped)" in error_of(path, Selection(skip=9))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert error_of(tmp_path) == f"{tmp_path} cannot be read: Is a directory"
    assert error_of(tmp_path / "none.csv").endswith("cannot be read: No such file or directory")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read: 'utf-8' codec" in error_of(tmp_path / "b.csv")
    path = table(tmp_path, "1," + "x" * 200_000)
    assert error_of(path).startswith(f"{path}:2: not a row of a CSV file: field larger")
