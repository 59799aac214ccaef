"""What the public functions accept, checked with errors that name the argument."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.backends import is_torch_tensor

Array = NDArray[Any]

_DTYPES = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


class Samples(NamedTuple):
    """Two batches of samples, brought to the shapes (B, n, d) and (B, m, d) without copying.

    Attributes:
        x: NumPy array or torch tensor, shape (B, n, d); expanded (stride 0) where one sample met a batch.
        y: the same kind, shape (B, m, d).
        batched: whether the caller's arrays had a batch dimension, and thus the result has.
        tensor: whether x and y are torch tensors.
        device: "cpu" or "cuda".
    """

    x: Any
    y: Any
    batched: bool
    tensor: bool
    device: str


def as_samples(value: Any, name: str) -> Any:
    """One array or tensor of shape (n, d) or (B, n, d), float32 or float64.

    Raises:
        TypeError: for another dtype or kind of object.
        ValueError: for another number of dimensions, an empty sample or d = 0.
    """
    if is_torch_tensor(value):
        _check_tensor(value, name)
    else:
        value = _as_array(value, name)
    if value.ndim not in (2, 3):
        raise ValueError(f"{name} must have shape (n, d) or (B, n, d), got shape {tuple(value.shape)}")
    if value.shape[-2] == 0:
        raise ValueError(
            f"{name} is an empty sample: shape {tuple(value.shape)} has n = 0, at least 1 is needed"
        )
    if value.shape[-1] == 0:
        raise ValueError(f"{name} has no coordinates: shape {tuple(value.shape)} has d = 0")
    return value


def _check_tensor(value: Any, name: str) -> None:
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise TypeError(f"{name} has dtype {dtype}; accepted: float32, float64")
    if str(value.layout) != "torch.strided":
        raise TypeError(f"{name} is a {value.layout} tensor; accepted: dense (torch.strided)")
    if value.device.type not in ("cpu", "cuda"):
        raise ValueError(f"{name} is on device {value.device}; accepted: cpu, cuda")


def _as_array(value: Any, name: str) -> Array:
    if type(value) is np.ndarray and value.dtype in _DTYPES:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; pass the valid rows as a plain array")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise TypeError(f"{name} cannot be read as an array of numbers: {error}") from None
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} has dtype {array.dtype}; accepted: float32, float64")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def check_pair(x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> Samples:
    """Validate two samples together and broadcast their batch dimensions.

    Args:
        x: the first sample.
        y: the second sample.
        names: what the caller's arguments are called, for messages.

    Raises:
        TypeError: for a mix of NumPy and torch, or of dtypes.
        ValueError: for shapes or devices that do not fit together.
    """
    first, second = names
    x, y = as_samples(x, first), as_samples(y, second)
    tensor = is_torch_tensor(x)
    if tensor != is_torch_tensor(y):
        raise TypeError(
            f"{first} and {second} must both be NumPy arrays or both torch tensors, "
            f"got {type(x)} and {type(y)}"
        )
    if x.dtype != y.dtype:
        raise TypeError(f"{first} has dtype {x.dtype} but {second} has {y.dtype}; they must be equal")
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"{first} has d = {x.shape[-1]} coordinates but {second} has {y.shape[-1]}")
    if tensor and x.device != y.device:
        raise ValueError(
            f"{first} is on {x.device} but {second} is on {y.device}; they must be on one device"
        )
    sizes = [a.shape[0] for a in (x, y) if a.ndim == 3]
    if len(sizes) == 2 and sizes[0] != sizes[1] and 1 not in sizes:
        raise ValueError(
            f"{first} holds {sizes[0]} problems but {second} holds {sizes[1]}; equal numbers or 1 broadcast"
        )
    size = (sizes[0] if sizes[0] != 1 else sizes[-1]) if sizes else 1
    device = x.device.type if tensor else "cpu"
    return Samples(_expand(x, size, tensor), _expand(y, size, tensor), bool(sizes), tensor, device)


def _expand(value: Any, size: int, tensor: bool) -> Any:
    if value.ndim == 3 and value.shape[0] == size:
        return value
    if value.ndim == 2 and size == 1:
        return value[None]
    shape = (size, *value.shape[-2:])
    return value.expand(shape) if tensor else np.broadcast_to(value, shape)


def check_finite(value: Array, name: str) -> None:
    """Raise ValueError if a NumPy array holds NaN or infinity, naming the first place."""
    finite = np.isfinite(value)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{name} holds {value[place]} at index {place}; all values must be finite")
