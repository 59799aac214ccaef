"""How many threads torch may use for a benchmark's rows."""

from __future__ import annotations

import os

VARIABLE = "OMP_NUM_THREADS"
# Up to this many parameters an operation takes microseconds. Two threads gain 10 to 20% on an idle machine;
# beside other work they wait for each other in every operation, which is 10 to 100 times slower.
SMALL = 300_000


def torch_threads(parameters: int) -> int | None:
    """Threads for networks of so many parameters.

    Args:
        parameters: of the preset.

    Returns:
        What the variable OMP_NUM_THREADS asks for, else 1 for small networks, else None: torch's own choice.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return 1 if parameters <= SMALL else None


def limit_torch(parameters: int) -> None:
    """Hold torch to `torch_threads`; before each stage anew, for Numba's OpenMP layer resets the number."""
    import torch

    threads = torch_threads(parameters)
    if threads is not None:
        torch.set_num_threads(threads)
