"""A process that holds one contestant of bench/mmd_cpu.py and answers requests, so that rounds can alternate.

Requests and answers are lines of JSON on standard input and output; what libraries print goes to standard
error.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Worker:
    """A contestant in its own process, seen from the benchmark.

    Args:
        name: a key of `mmd_contestants.CONTESTANTS`.
        environment: variables of the process, beside those of the contestant.
    """

    def __init__(self, name: str, environment: dict[str, str] | None = None) -> None:
        from mmd_contestants import CONTESTANTS

        contestant = CONTESTANTS[name]
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, __file__, name],
            env={**os.environ, **dict(contestant.environment), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> Any:
        """The answer to a request: its result.

        Raises:
            RuntimeError: with the contestant's own message, if it failed or ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"the process of {self.name} ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def resident(field: str) -> int:
    """Bytes of memory of this process: VmRSS now, VmHWM at most since the last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the system does not report {field}")


class Holder:
    """The contestant's side."""

    def __init__(self, name: str) -> None:
        from mmd_contestants import CONTESTANTS, TASKS

        self.contestant, self.tasks = CONTESTANTS[name], TASKS
        self.calls: dict[str, tuple[Any, int]] = {}

    def check(self, folder: str, task: str) -> float:
        """Largest error on the samples of a folder against the reference values beside them."""
        data = np.load(Path(folder) / "samples.npz")
        want = np.load(Path(folder) / f"{task}.npz")
        got = self.contestant.make(data["x"], data["y"], self.tasks[task])()
        if self.tasks[task].gradients:
            errors = [
                np.abs(g.numpy() - want[k]).max() / np.abs(want[k]).max()
                for g, k in zip(got, "xy", strict=True)
            ]
            return float(max(errors))
        return float(np.abs(np.asarray(got) - want["value"]).max() / want["k0"])

    def prepare(self, task: str, batch: int, n: int, d: int, seconds: float) -> int:
        """Makes the call, of as many problems as take about so many seconds, and warms it up."""
        rng = np.random.default_rng(0)
        # As many as were checked: torch.compile compiles anew for every shape.
        few = min(batch, 2)
        x, y = (rng.normal(size=(batch, n, d)).astype(np.float32) for _ in range(2))
        trial = self.contestant.make(x[:few], y[:few], self.tasks[task])
        trial()
        start = time.perf_counter()
        trial()
        each = (time.perf_counter() - start) / few
        problems = max(1, min(batch, math.ceil(seconds / each)))
        call = self.contestant.make(x[:problems], y[:problems], self.tasks[task])
        call()
        self.calls[task] = call, problems
        return problems

    def measure(self, task: str) -> float:
        """Seconds per problem of one call."""
        call, problems = self.calls[task]
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) / problems

    def peak(self, task: str, batch: int, n: int, d: int) -> int:
        """Bytes that one call needs at its peak beside its arguments; small calls have loaded the code."""
        rng = np.random.default_rng(0)
        small, large = (
            [rng.normal(size=(b, k, d)).astype(np.float32) for _ in range(2)]
            for b, k in ((1, 40), (batch, n))
        )
        for _ in range(2):
            self.contestant.make(*small, self.tasks[task])()
        call = self.contestant.make(*large, self.tasks[task])
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        result = call()
        after = resident("VmHWM")
        del result
        return after - before


def main() -> int:
    # Libraries print what they like; the protocol keeps a standard output of its own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    holder: Holder | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            holder = holder or Holder(sys.argv[1])
            answer = {"result": getattr(holder, request.pop("do"))(**request)}
        except Exception as error:  # whatever a library raises is its result
            answer = {"error": f"{type(error).__name__}: {error}".split("\n")[0][:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
