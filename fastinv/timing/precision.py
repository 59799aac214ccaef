"""How exactly torch multiplies float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tf32_products() -> Iterator[None]:
    """Let GPUs round float32 products to TensorFloat-32 within the block, as it was before after it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
