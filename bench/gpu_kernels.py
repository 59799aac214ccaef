"""Checks and times every GPU kernel on a CUDA machine in one call, and writes a JSON result.

    python bench/gpu_kernels.py --output gpu.json

Exit code 1 if an accuracy check fails; timings are then not taken, since a fast wrong kernel is worth nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import gpu_mmd
import torch
import triton


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="file for the result; standard output if left out")
    parser.add_argument("--check-only", action="store_true", help="check, but do not time")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu_kernels: no CUDA device is visible to torch", file=sys.stderr)
        return 2
    checks = gpu_mmd.check()
    failed = [row for row in checks if not row["passed"]]
    print(f"mmd: {len(checks) - len(failed)} of {len(checks)} checks passed", file=sys.stderr)
    timings = [] if failed or arguments.check_only else gpu_mmd.time_all()
    for row in timings:
        print(
            f"mmd {row['kernel']:9} B={row['batch']} n={row['n']} d={row['d']}: "
            f"{row['effective_pairs_per_s'] / 1e12:.2f} T pairs/s, with gradients {row['gradient_over_forward']:.2f}x",
            file=sys.stderr,
        )
    result = {
        "device": torch.cuda.get_device_name(),
        "versions": {
            "torch": torch.__version__,
            "triton": triton.__version__,
            "python": platform.python_version(),
        },
        "mmd": {"checks": checks, "timings": timings},
    }
    text = json.dumps(result, indent=1)
    if arguments.output is None:
        print(text)
    else:
        arguments.output.write_text(text + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
