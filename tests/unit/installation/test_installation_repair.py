"""The repair of torchvision: done once, explained, and refused where the file is another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import InstallationError
from pytest_dynperf.installation.repair import TORCHVISION, repair, repaired

if TYPE_CHECKING:
    from pathlib import Path

ORIGINAL = """import torch
import torchvision.extension  # noqa: F401

def register_meta(op_name):
    if torchvision.extension._has_ops():
        pass

@torch.library.register_fake("torchvision::nms")
def meta_nms(dets, scores, iou_threshold):
    return 1

@torch.library.register_fake("torchvision::qnms")
def meta_qnms(dets, scores, iou_threshold):
    return 2
"""


def place(tmp_path: Path, text: str) -> Path:
    path = tmp_path / TORCHVISION
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


def test_both_registrations_are_made_only_where_the_operators_load(tmp_path: Path) -> None:
    path = place(tmp_path, ORIGINAL)
    assert "nms and qnms" in repair("torchvision", tmp_path)
    text = path.read_text(encoding="utf-8")
    assert text.count("if torchvision.extension._has_ops() else (lambda function: function))\n") == 2
    assert '\n@torch.library.register_fake("torchvision::nms")\n' not in text
    compile(text, str(path), "exec")


def test_a_second_repair_changes_nothing(tmp_path: Path) -> None:
    path = place(tmp_path, ORIGINAL)
    repair("torchvision", tmp_path)
    first = path.read_text(encoding="utf-8")
    repair("torchvision", tmp_path)
    assert path.read_text(encoding="utf-8") == first


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ORIGINAL.replace('"torchvision::qnms"', '"torchvision::qnms2"'), id="a registration is gone"),
        pytest.param(ORIGINAL + '\n@torch.library.register_fake("torchvision::nms")\ndef again():\n    pass\n', id="one stands twice"),
        pytest.param(ORIGINAL.replace("_has_ops", "_has_operators"), id="nothing says whether operators load"),
        pytest.param("", id="empty"),
    ],
)
def test_another_file_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = place(tmp_path, text)
    assert repaired(text) is None
    with pytest.raises(InstallationError, match="is not the file that the repair"):
        repair("torchvision", tmp_path)
    assert path.read_text(encoding="utf-8") == text


def test_a_file_that_is_not_there_and_a_repair_that_is_not_known_are_named(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match=r"_meta_registrations\.py, which cannot be read"):
        repair("torchvision", tmp_path)
    with pytest.raises(InstallationError, match="no repair called 'torchaudio'"):
        repair("torchaudio", tmp_path)
