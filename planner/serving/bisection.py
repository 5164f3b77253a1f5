"""Bisection over integers, used to size batches."""

from collections.abc import Callable


def largest(holds: Callable[[int], bool], highest: int) -> int:
    """Return the largest n in 0..highest for which `holds(n)` is true.

    Args:
        holds: True up to some number and false beyond it; it is taken to hold at 0.
        highest: Largest number that is tried.
    """
    if highest > 0 and holds(highest):
        return highest
    low, high = 0, highest
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
