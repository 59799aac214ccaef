"""Checks and times every GPU kernel on a CUDA machine in one call, and writes a JSON result.

    python bench/gpu_kernels.py --output gpu.json
    TRITON_INTERPRET=1 python bench/gpu_kernels.py --check-only     # small sizes, on any CPU

Programs are compiled by as many processes as there are cores, then timed in one. Exit code 1 if an accuracy
check fails; timings are then not taken, since a fast wrong kernel is worth nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import gpu_mmd
import gpu_samplers
import torch
import triton


def in_processes(
    function: Callable[[dict[str, Any]], Any], cases: list[dict[str, Any]], device: str
) -> list[Any]:
    """The function of every case, in order; on a GPU in other processes, as compiling takes longest.

    Args:
        function: at a module's top level.
        cases: what it is called with.
        device: "cuda", or "cpu" for Triton's interpreter, which stays in this process.
    """
    if device == "cpu":
        return [function(case) for case in cases]
    workers = min(len(cases), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(function, cases))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="file for the result; standard output if left out")
    parser.add_argument("--check-only", action="store_true", help="check, but do not time")
    arguments = parser.parse_args()
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if interpreted and not arguments.check_only:
        print("gpu_kernels: TRITON_INTERPRET=1 has nothing to time, give --check-only", file=sys.stderr)
        return 2
    if not interpreted and not torch.cuda.is_available():
        print(
            "gpu_kernels: torch sees no CUDA device; TRITON_INTERPRET=1 with --check-only needs none",
            file=sys.stderr,
        )
        return 2
    device = "cpu" if interpreted else "cuda"
    checks = {
        "mmd": in_processes(gpu_mmd.check, gpu_mmd.cases(device), device),
        "samplers": in_processes(gpu_samplers.check, gpu_samplers.cases(device), device),
    }
    failed = [row for rows in checks.values() for row in rows if not row["passed"]]
    for name, rows in checks.items():
        print(f"{name}: {sum(row['passed'] for row in rows)} of {len(rows)} checks passed", file=sys.stderr)
    for row in failed:
        print(f"failed: {json.dumps(row)}", file=sys.stderr)
    timed = not failed and not arguments.check_only
    timings: list[dict[str, Any]] = []
    if timed:
        in_processes(gpu_mmd.warm, gpu_mmd.TIMED, device)
        timings = [gpu_mmd.time_one(case) for case in gpu_mmd.TIMED]
    sampler_timings = gpu_samplers.time_all() if timed else []
    for row in sampler_timings:
        call, build = (statistics.median(row[key]) for key in ("call_ms", "build_ms"))
        print(
            f"{row['problem']} B={row['batch']} n={row['n']}: {call:.2f} ms, {build:.2f} of it on the host",
            file=sys.stderr,
        )
    for row in timings:
        print(
            f"mmd {row['kernel']:9} B={row['batch']} n={row['n']} d={row['d']}: "
            f"{row['effective_pairs_per_s'] / 1e12:.2f} T pairs/s, "
            f"with gradients {row['gradient_over_forward']:.2f}x",
            file=sys.stderr,
        )
    result = {
        "device": "Triton's interpreter" if interpreted else torch.cuda.get_device_name(),
        "versions": {
            "torch": torch.__version__,
            "triton": triton.__version__,
            "python": platform.python_version(),
        },
        "mmd": {"checks": checks["mmd"], "timings": timings},
        "samplers": {"checks": checks["samplers"], "timings": sampler_timings},
    }
    text = json.dumps(result, indent=1)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
