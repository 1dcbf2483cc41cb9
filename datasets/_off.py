"""Meshes in OFF files (Geomview's Object File Format), read whole or refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reldrop_bench.statistics.wording import by_number, counted

Lines = list[tuple[int, str]]
"""Lines that say something, each with its number in the file."""
HEADER = re.compile(r"(ST)?C?N?OFF(?![A-Za-z])(.*)", re.DOTALL)


class Mesh(NamedTuple):
    """vertices (V, 3) float64; triangles (T, 3) int64, indices of vertices."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]

    @property
    def area(self) -> float:
        """The area of all triangles."""
        a, b, c = (self.vertices[self.triangles[:, corner]] for corner in range(3))
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def read_off(path: Path) -> Mesh:
    """Read a mesh; polygons become triangles that cover the same area.

    Comments (#), blank lines, colours, normals and texture coordinates behind the numbers, and counts
    on the header's own line ("OFF8 6 0") are read; points and edges among the faces have no area.

    Raises
    ------
    ValueError
        It is no such file, or what it holds is not what it says: the line, and what is wrong there.
    """
    lines = [
        (number, line)
        for number, text in enumerate(path.read_text("utf-8-sig", "replace").split("\n"), 1)
        if (line := text.partition("#")[0].strip())
    ]
    vertex_count, face_count, lines = _counts(lines)
    if len(lines) != vertex_count + face_count:
        raise ValueError(
            f"its header counts {counted(vertex_count, 'vertex', 'vertices')} and "
            f"{counted(face_count, 'face')}, and {counted(len(lines), 'line')} "
            f"{by_number(len(lines), 'follows', 'follow')}"
        )
    vertices = _vertices(lines[:vertex_count])
    return Mesh(vertices, _triangles(lines[vertex_count:], vertices))


def _counts(lines: Lines) -> tuple[int, int, Lines]:
    """Return the counts of vertices and faces, and the lines behind them."""
    if not lines:
        raise ValueError("it is empty")
    number, first = lines[0]
    header = HEADER.fullmatch(first)
    if header is None:
        what = "4-dimensional" if re.match(r"[A-Z]*(4|n)n?OFF", first) else f"{first[:20]!r}"
        raise ValueError(f"line {number}: it begins with {what} instead of OFF")
    rest, behind = header[2].strip(), lines[1:]
    if rest.upper().startswith("BINARY"):
        raise ValueError(f"line {number}: it is a binary OFF file; save it as text")
    if not rest:
        if not behind:
            raise ValueError("it ends behind its header")
        (number, rest), behind = behind[0], behind[1:]
    counts = rest.split()
    if len(counts) not in (2, 3) or not all(re.fullmatch(r"\d{1,12}", count) for count in counts):
        raise ValueError(
            f"line {number}: {rest[:40]!r} is not the counts of vertices, faces and edges"
        )
    return int(counts[0]), int(counts[1]), behind


def _numbers(lines: Lines, columns: range) -> NDArray[np.float64]:
    """Return some columns of lines that may hold more; raises ValueError that names the line."""
    if not lines:
        return np.empty((0, len(columns)))
    try:
        texts = [line for _, line in lines]
        return np.loadtxt(texts, np.float64, usecols=columns, ndmin=2, comments=None)
    except ValueError:
        for number, line in lines:
            try:
                np.loadtxt([line], np.float64, usecols=columns, comments=None)
            except ValueError:
                raise ValueError(
                    f"line {number}: {line[:40]!r} does not hold {columns.stop} numbers"
                ) from None
        raise


def _vertices(lines: Lines) -> NDArray[np.float64]:
    vertices = _numbers(lines, range(3))
    wrong = ~np.isfinite(vertices).all(1)
    if wrong.any():
        number, line = lines[int(wrong.argmax())]
        raise ValueError(f"line {number}: {line[:40]!r} is no place")
    return vertices


def _triangles(lines: Lines, vertices: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the triangles in the order of the faces."""
    by_corners: dict[str, list[int]] = {}
    for index, (_, line) in enumerate(lines):
        by_corners.setdefault(line.split(None, 1)[0], []).append(index)
    places, found = [np.empty(0, np.int64)], [np.empty((0, 3), np.int64)]
    for word, indices in by_corners.items():
        chosen = [lines[index] for index in indices]
        if not re.fullmatch(r"\d{1,9}", word) or int(word) == 0:
            raise ValueError(f"line {chosen[0][0]}: {word[:20]!r} is no number of corners")
        corners = int(word)
        columns = range(1, corners + 1)
        if corners > len(chosen[0][1].split()) - 1:
            raise ValueError(f"line {chosen[0][0]}: the face has fewer than its {corners} corners")
        faces = _numbers(chosen, columns)
        right = (faces >= 0) & (faces < len(vertices)) & (faces == np.floor(faces))
        if not right.all():
            at, corner = np.argwhere(~right)[0]
            raise ValueError(
                f"line {chosen[at][0]}: vertex {faces[at, corner]:g} of the face is none of the "
                f"{len(vertices)} (0 … {len(vertices) - 1})"
            )
        for owners, triangles in _fans(np.array(indices), faces.astype(np.int64), vertices):
            places.append(owners)
            found.append(triangles)
    order = np.argsort(np.concatenate(places), kind="stable")
    return np.concatenate(found)[order]


Part = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Which face each triangle belongs to (T,), and the triangles (T, 3)."""


def _fans(
    indices: NDArray[np.int64], faces: NDArray[np.int64], vertices: NDArray[np.float64]
) -> list[Part]:
    """Return the triangles of faces (F, n): fans around the first corner, ears where that folds over."""
    count, corners = faces.shape
    if corners < 3:
        return []
    around = np.arange(1, corners - 1)
    fans = np.stack([np.broadcast_to(faces[:, :1], (count, corners - 2)), faces[:, around],
                     faces[:, around + 1]], 2)  # fmt: skip
    if corners == 3:
        return [(indices, fans[:, 0])]
    corner = vertices[fans]
    areas = np.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0])
    normals = areas.sum(1)
    # A triangle against the face's own side covers what lies outside of the face.
    folded = ((areas * normals[:, None]).sum(2) < 0).any(1)
    parts = [(np.repeat(indices[~folded], corners - 2), fans[~folded].reshape(-1, 3))]
    for index, face, normal in zip(indices[folded], faces[folded], normals[folded], strict=True):
        ears = face[_ears(_flattened(vertices[face], normal))]
        parts.append((np.repeat(index, len(ears)), ears))
    return parts


def _flattened(corners: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return corners (n, 3) as seen against their normal, (n, 2), counter-clockwise."""
    axis = int(np.abs(normal).argmax())
    first, second = (axis + 1) % 3, (axis + 2) % 3
    return corners[:, [first, second] if normal[axis] > 0 else [second, first]]


def _ears(corners: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cut a simple polygon (n, 2), counter-clockwise, into triangles (n - 2, 3) (Meisters 1975)."""

    def side(
        a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        one, other = b - a, c - a
        return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]

    left = list(range(len(corners)))
    ears = []
    while len(left) > 3:
        for at in range(len(left)):
            trio = [left[at - 1], left[at], left[(at + 1) % len(left)]]
            a, b, c = corners[trio]
            others = corners[[index for index in left if index not in trio]]
            within = (
                (side(a, b, others) >= 0) & (side(b, c, others) >= 0) & (side(c, a, others) >= 0)
            )
            same = ((others[:, None] == corners[trio]).all(2)).any(1)
            if side(a, b, c) >= 0 and not (within & ~same).any():
                break
        else:
            at = 0  # it crosses itself: no cut is right, and none is lost
            trio = [left[-1], left[0], left[1]]
        ears.append(trio)
        del left[at]
    return np.array([*ears, left], np.int64)
