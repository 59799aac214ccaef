"""What a use of torch.compile has to know of the machine, and how to keep it quiet."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def why_no_compiler(device: str) -> str | None:
    """Why torch.compile cannot work on a device, None where it can."""
    names = [os.environ.get("CXX", ""), "g++", "c++", "clang++"]
    if device != "cpu" or any(shutil.which(name) for name in names if name):
        return None
    return "torch.compile needs a C++ compiler at run time, and there is none (Debian: apt install g++)"


@contextmanager
def hushed() -> Iterator[None]:
    """Compilers warn of their own inner workings, and tune aloud."""
    log = logging.getLogger("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch._inductor.select_algorithm as select  # itself warns

        level, aloud = log.level, select.PRINT_AUTOTUNE
        log.setLevel(logging.CRITICAL)
        select.PRINT_AUTOTUNE = False
        try:
            yield
        finally:
            log.setLevel(level)
            select.PRINT_AUTOTUNE = aloud


def one_line(error: BaseException) -> str:
    """The first line of an error that says something, at most 120 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:120]
