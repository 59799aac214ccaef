"""Copies of the checkout that tests may change: nothing is ever edited in the working tree."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Python runs this at start. An editable install would bring its own fastinv, whatever the path says.
_HOOK = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if "Redirecting" not in type(f).__name__]
"""
# Bytecode of files that are not changed is of use; Numba's caches would not see a change in another file.
_NO_CACHES = shutil.ignore_patterns("*.nbi", "*.nbc", "*.so")


@dataclass(frozen=True)
class Checkout:
    """A copy of the package and its tests, and processes that import the copy.

    Attributes:
        folder: where it lies.
    """

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Checkout:
        """A fresh copy in `folder`, with the extension that is installed."""
        # The link fastinv/kernels becomes a link to the copy's kernels.
        shutil.copytree(ROOT / "fastinv", folder / "fastinv", symlinks=True, ignore=_NO_CACHES)
        shutil.copytree(ROOT / "kernels", folder / "kernels", ignore=_NO_CACHES)
        shutil.copytree(ROOT / "tests", folder / "tests", ignore=_NO_CACHES)
        shutil.copytree(ROOT / "bench", folder / "bench", ignore=shutil.ignore_patterns("results"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        extension = importlib.util.find_spec("fastinv.kernels._native")
        if extension is not None and extension.origin is not None:
            shutil.copy(extension.origin, folder / "kernels")
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(_HOOK)
        return cls(folder)

    def add(self, path: str, text: str) -> None:
        """A new file."""
        target = self.folder / path
        assert not target.exists(), f"{path} exists already"
        target.write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        """Put `new` in place of the one occurrence of `old`."""
        target = self.folder / path
        text = target.read_text()
        if (found := text.count(old)) != 1:
            raise ValueError(f"{path} holds {found} times, not once:\n{old}")
        target.write_text(text.replace(old, new))

    def run(self, *command: str, timeout: float = 600.0) -> subprocess.CompletedProcess[str]:
        """The result of a command of this environment, with output and errors in one text."""
        environment = {
            **os.environ,
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
            "PYTHONPATH": os.pathsep.join((str(self.folder), str(self.folder / "hook"))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(self.folder / "numba"),
        }
        return subprocess.run(
            command, cwd=self.folder, env=environment, timeout=timeout, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
