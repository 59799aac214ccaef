"""How many threads torch takes."""

from __future__ import annotations

import pytest
import torch

from fastinv.runner.threads import SMALL, limit_torch, torch_threads


@pytest.mark.parametrize(
    ("variable", "parameters", "threads"),
    [("", SMALL, 1), ("", SMALL + 1, None), ("3", SMALL, 3), ("3", SMALL + 1, 3), ("0", 1, 1), ("1,2", 1, 1)],
)
def test_the_variable_comes_first_then_the_size(
    variable: str, parameters: int, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert torch_threads(parameters) == threads
    torch.set_num_threads(2)
    limit_torch(parameters)
    assert torch.get_num_threads() == (threads or 2)
