"""A headless Chromium on a pipe: pages opened from disk, scripts run in them, pictures taken. DevTools protocol, no driver, no port."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from fcntl import F_DUPFD, fcntl
from select import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

BINARY = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
_WAIT_S = 300.0
_AXE = "4.14.1"


class Chromium:
    """One browser with one page. Leaving the context ends it, with all its processes."""

    def __init__(self) -> None:
        assert BINARY is not None, "Debian's package chromium is not installed"
        self._profile = tempfile.mkdtemp(prefix="dynperf-chromium-")
        ends_in, self._out = os.pipe()
        self._in, ends_out = os.pipe()
        theirs_in, theirs_out = (fcntl(end, F_DUPFD, 20) for end in (ends_in, ends_out))  # out of the way of 3 and 4
        os.set_blocking(self._in, False)
        command = [
            BINARY, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--disable-extensions",
            "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe",
            f"--user-data-dir={self._profile}", "about:blank",
        ]  # fmt: skip
        # Chromium reads descriptor 3 and writes descriptor 4.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-', "chromium", *command],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        for end in (ends_in, ends_out, theirs_in, theirs_out):
            os.close(end)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command, and its result. Events that come meanwhile are kept in ``events``."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": self._session} if self._session else {})}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _WAIT_S
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            assert left > 0, f"Chromium said nothing for {_WAIT_S:.0f} s"
            if select([self._in], [], [], left)[0]:
                piece = os.read(self._in, 1 << 20)
                assert piece, f"Chromium ended with {self._process.wait()}"
                self._buffer += piece
        message, self._buffer = self._buffer.split(b"\0", 1)
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def until(self, event: str) -> dict[str, Any]:
        """The next event of that name, also one that has come since the last command that :meth:`open` sent."""
        while True:
            for place, one in enumerate(self.events):
                if one.get("method") == event:
                    return self.events.pop(place)
            self.events.append(self._next())

    def open(
        self, page: Path, *, dark: bool = False, scripts: bool = True, width: int = 1280, height: int = 900, fragment: str = ""
    ) -> None:
        """Load a file, in a window of that size, until it has loaded."""
        self.events.clear()
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.scheme("dark" if dark else "light")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Page.navigate", url="about:blank")
        self.until("Page.loadEventFired")
        self.send("Page.navigate", url=page.resolve().as_uri() + fragment)
        self.until("Page.loadEventFired")

    def scheme(self, name: str, *, media: str = "") -> None:
        """``light`` or ``dark``; ``media`` ``print`` shows what a printer would get."""
        self.send("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": name}])

    def run(self, script: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def cpu_s(self) -> float:
        """CPU seconds of the page's main thread in tasks, after ``Performance.enable`` with ``threadTicks``."""
        return float(next(one["value"] for one in self.send("Performance.getMetrics")["metrics"] if one["name"] == "TaskDuration"))

    def complaints(self) -> list[str]:
        """What the page has logged as an error since it was opened: violations of its policy, exceptions."""
        self.send("Runtime.evaluate", expression="0")
        found = []
        for event in self.events:
            told = event.get("params", {})
            if event.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
                found.append(str(told["entry"]["text"]))
            elif event.get("method") == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]["exception"].get("description", told["exceptionDetails"]["text"])))
            elif event.get("method") == "Runtime.consoleAPICalled" and told["type"] == "error":
                found.append(str(told["args"]))
        return found

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the ``whole`` page."""
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **({"clip": self._all()} if whole else {}))
        path.write_bytes(base64.b64decode(answer["data"]))

    def _all(self) -> dict[str, float]:
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1}

    def axe(self, source: str) -> list[str]:
        """What axe-core finds wrong with the page as it stands: rule and place, one line each."""
        self.run(source + "; 0")
        found = self.run("axe.run(document, {resultTypes: ['violations']}).then((seen) => seen.violations)")
        return [f"{one['id']}: {node['target']} {node.get('failureSummary', '')}" for one in found for node in one["nodes"]]


def axe_source(directory: Path, run: Callable[..., object] = subprocess.run) -> str:
    """axe-core from npm, kept in ``directory``; about a second the first time.

    :raises FileNotFoundError, subprocess.CalledProcessError: without npm, or where it finds no registry.
    """
    file = directory / f"axe-{_AXE}.js"
    if not file.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        run(
            ["npm", "pack", "--silent", "--pack-destination", str(directory), f"axe-core@{_AXE}"],
            check=True,
            capture_output=True,
            timeout=120,
        )
        archive = directory / f"axe-core-{_AXE}.tgz"
        text = subprocess.run(["tar", "-xzOf", str(archive), "package/axe.min.js"], check=True, capture_output=True).stdout
        file.write_bytes(text)
    return file.read_text()
