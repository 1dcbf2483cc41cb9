"""Which clouds are of the same shape, or nearly: they must not lie on both sides of a split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

TOLERANCE = 1.2
"""Two clouds are of one shape up to this multiple of the distance between two clouds of the same surface."""
SPREAD = 0.1
"""Shapes whose deviations along an axis differ by more than this share of their size are not compared."""


def duplicate_groups(clouds: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the group (N,) of each of the clouds (N, 3, P), wherever they lie and however large they are.

    The distance of two clouds is the mean distance of a point to the nearest point of the other one
    (Chamfer distance), between one's first half and the other's second half. It is measured in the
    distance between the two halves of one cloud, so that two samples of one surface have 1. Chains count: what is
    near to something of a group belongs to it.
    """
    points = clouds.transpose(0, 2, 1).astype(np.float64)
    points -= points.mean(1, keepdims=True)
    # The farthest point would be another one in each sample: not a size that two of them share.
    points /= np.sqrt((points**2).sum(2).mean(1))[:, None, None]
    half = points.shape[1] // 2
    first, second = (
        [KDTree(cloud) for cloud in part] for part in (points[:, :half], points[:, half:])
    )
    own = [_distance(*halves) for halves in zip(first, second, strict=True)]
    spread = points.std(1)
    links = []
    for one in range(len(points)):
        apart = np.abs(spread[:one] - spread[one]).max(1)
        links += [
            (one, other)
            for other in np.flatnonzero(apart < SPREAD)
            if _distance(first[one], second[other]) <= TOLERANCE * min(own[one], own[other])
        ]
    rows, columns = np.array(links, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), (rows, columns)), (len(points), len(points)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _distance(one: KDTree, other: KDTree) -> float:
    there, back = one.query(other.data)[0].mean(), other.query(one.data)[0].mean()
    return float(there + back) / 2
