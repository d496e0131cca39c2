"""What the embedded stack needs of the machine besides packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment import embedded
from pytest_dynperf.errors import DeploymentError

if TYPE_CHECKING:
    from pathlib import Path


def test_nginx_is_found_on_the_path_and_its_absence_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nginx"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.find_proxy() == str(program)
    monkeypatch.setattr("shutil.which", lambda *_names, **_path: None)
    with pytest.raises(DeploymentError, match=r"nginx is not here.*apt-get install nginx-light"):
        embedded.find_proxy()
