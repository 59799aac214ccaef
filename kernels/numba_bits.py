# mypy: allow-untyped-defs, allow-untyped-decorators
"""The bits of a float as an integer of its width, and back, in Numba.

float32 goes with int32, float64 with int64; other types are refused when a function is compiled.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

_INTEGERS = {types.float32: types.int32, types.float64: types.int64}
_FLOATS = {integer: real for real, integer in _INTEGERS.items()}


def _reinterpreted(value: Any, kinds: dict[Any, Any]) -> Any:
    """Signature and code of a bit cast; None, which Numba reports as a type error, for other types."""
    kind = kinds.get(value)
    if kind is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(kind))

    return kind(value), generate


@intrinsic
def bits_of(typing_context: Any, value: Any) -> Any:
    """The bits of a float as an integer of the same width."""
    return _reinterpreted(value, _INTEGERS)


@intrinsic
def from_bits(typing_context: Any, value: Any) -> Any:
    """The float that has these bits."""
    return _reinterpreted(value, _FLOATS)
