"""Products in TensorFloat-32."""

from __future__ import annotations

import pytest
import torch

from fastinv.timing.precision import tf32_products


def test_precision_is_as_it_was_also_after_an_error() -> None:
    before, within = torch.get_float32_matmul_precision(), []

    def fail() -> None:
        with tf32_products():
            within.append(torch.get_float32_matmul_precision())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert within == ["high"]
    assert torch.get_float32_matmul_precision() == before != "high"
