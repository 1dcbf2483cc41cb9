"""The area under curves."""

import numpy as np
from numpy.typing import ArrayLike


def area(values: ArrayLike, x: ArrayLike) -> np.ndarray:
    """Return the mean height of curves by trapezoids, their area over the width of x.

    values (..., P) at growing x (P,), P >= 2. Returns (...) float64, in the unit of the values: a
    curve that is constantly c has the area c.

    Raises
    ------
    ValueError
        x does not grow, or has less than two values.
    """
    height, x = np.asarray(values, dtype=np.float64), np.asarray(x, dtype=np.float64)
    step = np.diff(x)
    if len(x) < 2 or not (step > 0).all():
        raise ValueError(f"x = {x.tolist()}: give two or more values that grow")
    middle = (height[..., 1:] + height[..., :-1]) / 2
    return middle @ step / (x[-1] - x[0])
