"""Ctrl-C during tolerance ABC and exact sampling, in processes of their own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import warm

from fastinv.kernels import available_backends

# Says so once simulations are being made, which nothing but an interrupt would end for years.
ABC = """
import math, sys
import numba, numpy as np
from fastinv.kernels import Normal, abc

@numba.njit
def compiled(x):
    return x[0] * x[1]

@numba.njit
def slow(x):
    total = x[0]
    for i in range(60_000):
        total += math.sin(total + i)
    return total

kind, mode = sys.argv[1:]
simulator = {"compiled": compiled, "slow": slow, "batch": lambda x: x[:, 0] * x[:, 1]}.get(kind, kind)
own = {"prior": [Normal(0.0, 1.0)] * 2} if kind in ("compiled", "slow", "batch") else {}
y = [[0.0, 7.0]] if kind == "kinematics" else [[1e6]]
options = {"nearest": True} if mode == "nearest" else {"tolerance": 1e-6}
abc(simulator, y, 10, **options, **own, max_simulations=10**15,
    on_progress=lambda p: print("working", p.simulations, flush=True))
"""
# One call that draws the parts of its array again and again: one that lasts minutes by itself would need more
# memory than a test may take. How large a part is, is tested in test_exact_parts.py.
EXACT = """
import sys
from fastinv.kernels.rejection import op
problem, backend = sys.argv[1:]
sample = getattr(op, f"sample_{problem}")
y = [[0.0, 1.5]] if problem == "kinematics" else [[5.0]]
sample(y, 10, backend=backend)
parts = op._parts
def again(*arguments):
    while True:
        print("working", flush=True)
        yield from parts(*arguments)
op._parts = again
sample(y, 200_000 if backend == "reference" else 2_000_000, backend=backend)
"""
BACKENDS = [name for name in ("native", "numba", "reference") if available_backends()[name].available]
CASES = {
    **{
        f"abc-{kind}-{mode}": (ABC, kind, mode)
        for kind in ("kinematics", "ballistics", "compiled", "slow", "batch")
        for mode in ("tolerance", "nearest")
    },
    **{
        f"exact-{problem}-{backend}": (EXACT, problem, backend)
        for problem in ("kinematics", "ballistics")
        for backend in BACKENDS
    },
}


@pytest.mark.parametrize("case", CASES)
def test_ctrl_c_is_answered(case: str, tmp_path: Path) -> None:
    """Within a second where the machine is free; ten are allowed, since it may be busy."""
    code, *arguments = CASES[case]
    process = warm.fork(code, tuple(arguments), tmp_path, {**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        first = process.stdout.readline()
        assert first.startswith("working"), process.stderr.read()
        time.sleep(0.2)  # into the first rounds
        assert process.poll() is None
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10.0)
        print(f"{case}: answered after {time.monotonic() - pressed:.2f} s")
    finally:
        warm.end(process)
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0
