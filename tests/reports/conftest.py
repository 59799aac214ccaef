"""A finished run of both problems, small enough for tests, and a browser to look at pages with."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from brisk import brisk_rows

from fastinv.presets import Preset
from fastinv.runner import BenchSettings, run_benchmark
from fastinv.store import RunWriter

__all__ = ["brisk_rows"]

MODELS = ("inn", "cinn", "mdn")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    preset = Preset("tiny", 5000, 2000, 100, 1, 8, 50)
    settings = BenchSettings(("kinematics", "ballistics"), preset, (0,), "factorised", "paper", "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with RunWriter(folder, settings=settings.as_dict(), settings_hash=settings.hash, provenance={}) as store:
        outcome = run_benchmark(settings, MODELS, store)
    torch.set_num_threads(threads)
    assert not outcome.failed
    return folder


class Browser:
    """A headless Chromium, spoken to by the WebDriver protocol.

    Args:
        address: of the driver.
        binary: the browser's file.
    """

    def __init__(self, address: str, binary: str) -> None:
        self._address = address
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        wanted = {
            "goog:chromeOptions": {"binary": binary, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{session['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path, width: int, *, dark: bool = False, paper: bool = False) -> None:
        """Load a page in a window of that width, or as it is printed on paper of that width."""
        self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.tell("Emulation.setEmulatedMedia", media="print" if paper else "", features=scheme)
        self._call("POST", f"{self._session}/url", {"url": page.as_uri()})

    def tell(self, command: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def complaints(self) -> list[str]:
        """What the console has said since it was last asked."""
        return [
            entry["message"] for entry in self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        ]

    def close(self) -> None:
        """End the session."""
        self._call("DELETE", self._session)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless browser; the test is skipped, and says why, where there is none."""
    driver, binary = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or binary is None:
        pytest.skip("no chromium and chromedriver here (Debian: apt install chromium chromium-driver)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        found = _connected(f"http://127.0.0.1:{port}", binary)
        yield found
        found.close()
    finally:
        process.terminate()
        process.wait(timeout=20)


def _connected(address: str, binary: str) -> Browser:
    for _ in range(100):
        try:
            return Browser(address, binary)
        except urllib.error.HTTPError as error:
            pytest.skip(f"chromium does not start here: {error.read().decode()[:300]}")
        except OSError:
            time.sleep(0.1)
    pytest.skip("chromedriver does not answer here")
