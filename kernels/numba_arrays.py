# mypy: allow-untyped-defs, allow-untyped-decorators
"""What NumPy offers too, but at seconds of compile time per process in Numba.

An assignment to a slice brings in the text of its error message and with it Numba's strings (4 to 6 s),
np.partition every way to compare two numbers (6 to 12 s), np.searchsorted some of them (1 s). These take
.1 to .5 s.
"""

from __future__ import annotations

import numba


@numba.njit(nogil=True)
def copy_into(out, values):
    """out[:] = values, for one dimension; the lengths must agree, which is not checked."""
    for i in range(len(out)):
        out[i] = values[i]


@numba.njit(nogil=True)
def kth_smallest(values, k):
    """np.partition(values, k)[k] for one dimension without NaN: Hoare's selection on a copy."""
    a = values.copy()
    low, high = 0, len(a) - 1
    while low < high:
        pivot = a[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return a[k]


@numba.njit(nogil=True)
def place_of(value, ascending):
    """np.searchsorted(ascending, value) for one number."""
    low, high = 0, len(ascending)
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low
