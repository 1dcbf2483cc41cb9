"""OFF files: every face is there, with its area, or the file is refused.

Areas are held against the formula of a gabled house, the hull of its corners by trimesh (Qhull), and Gauss's
formula; meshes of triangles against torch_geometric's reader, whose clouds have to stay bit for bit.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.io import read_off as geometric_read_off
from torch_geometric.transforms import SamplePoints

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.content import DataFiles
from reldrop_bench.plugins.datasets import _meshes
from reldrop_bench.plugins.datasets._off import read_off
from reldrop_bench.seeding import global_seed

# A house of 4 × 6 with walls of 3 and a ridge at 5: two gables of five corners.
HOUSE = [(x, y, z) for y in (0, 6) for x, z in ((0, 0), (4, 0), (4, 3), (2, 5), (0, 3))]
GABLES = [(0, 1, 2, 3, 4), (9, 8, 7, 6, 5)]
WALLS = [(1, 6, 7, 2), (4, 9, 5, 0)]
ROOF = [(2, 7, 8, 3), (3, 8, 9, 4)]
FLOOR = [(0, 5, 6, 1)]
GABLE_AREA = 2 * (4 * 3 + 4 * 2 / 2)
HOUSE_AREA = GABLE_AREA + 2 * 3 * 6 + 2 * math.hypot(2, 2) * 6 + 4 * 6


def text(
    vertices: list[tuple[float, ...]], faces: list[tuple[int, ...]], header: str = "OFF\n"
) -> str:
    lines = [" ".join(map(str, vertex)) for vertex in vertices]
    lines += [" ".join(map(str, (len(face), *face))) for face in faces]
    return f"{header}{len(vertices)} {len(faces)} 0\n" + "\n".join(lines) + "\n"


def house(header: str = "OFF\n") -> str:
    return text(HOUSE, GABLES + WALLS + ROOF + FLOOR, header)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "house.off"


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="")
    return path


def hull() -> trimesh.Trimesh:
    """Return the house as the convex hull of its corners (Qhull): no face of a file is read."""
    return trimesh.PointCloud(HOUSE).convex_hull


def test_polygons_have_their_area(path: Path) -> None:
    mesh = read_off(write(path, house()))
    assert mesh.area == pytest.approx(HOUSE_AREA)
    assert mesh.area == pytest.approx(hull().area)
    assert len(mesh.triangles) == 2 * 3 + 2 * 5


def test_points_lie_on_a_face_by_its_share_of_the_area(path: Path) -> None:
    write(path, house())
    count = 20_000
    meshes = DataFiles(path.parent, (path.name,))
    (cloud,) = _meshes.sampled("house", meshes, path.parent / "kept", "train", count).numpy()
    share = float((np.abs(cloud[4]) > 0.999).mean())  # normals along the ridge: the gables
    expected = GABLE_AREA / HOUSE_AREA
    spread = math.sqrt(expected * (1 - expected) / count)
    assert abs(share - expected) < 4 * spread
    _, faces = trimesh.sample.sample_surface(hull(), count, seed=0)
    gables = np.abs(hull().face_normals[faces][:, 1]) > 0.999
    assert abs(share - gables.mean()) < 6 * spread


def test_meshes_of_triangles_give_the_clouds_that_they_gave(tmp_path: Path) -> None:
    solid = trimesh.creation.torus(major_radius=0.7, minor_radius=0.25)
    vertices = [tuple(map(float, vertex)) for vertex in solid.vertices * 31.7]
    path = write(tmp_path / "torus.off", text(vertices, solid.faces.tolist()))
    with global_seed("torus", 256, path.name):
        data = SamplePoints(256, include_normals=True)(geometric_read_off(str(path)))
    centred = data.pos - data.pos.mean(0)
    expected = torch.cat([centred / centred.norm(dim=1).max(), data.normal], 1).T
    meshes = DataFiles(tmp_path, (path.name,))
    (cloud,) = _meshes.sampled("torus", meshes, tmp_path / "kept", "train", 256)
    torch.testing.assert_close(cloud, expected, rtol=0, atol=1e-5)


LEGAL = {
    "no last line break": house().rstrip("\n"),
    "line breaks of Windows": house().replace("\n", "\r\n"),
    "line breaks of old Macs": house().replace("\n", "\r"),
    "spaces behind OFF": house("OFF   \n"),
    "spaces before": house().replace("\n", "\n   "),
    "tabs": house().replace(" ", "\t"),
    "counts on the header's line": house("OFF "),
    "counts glued to the header": house("OFF"),
    "no count of edges": house().replace("10 7 0", "10 7"),
    "comments": "# a house\n" + house("OFF # it is\n").replace("10 7 0", "10 7 0 # counts"),
    "comments between": house().replace("\n3", "\n# a remark\n3").replace("\n5 0", " # wall\n5 0"),
    "blank lines": house().replace("\n", "\n\n \n"),
    "byte order mark": "\ufeff" + house(),
    "colours of faces": "\n".join(
        line + " 255 0 0" if line[:2] in ("4 ", "5 ") and len(line.split()) > 4 else line
        for line in house().split("\n")
    ),
    "colours of vertices": "COFF\n10 7 0\n"
    + "\n".join(line + " 9 9 9 255" for line in house().split("\n")[2:12])
    + "\n" + "\n".join(house().split("\n")[12:]),
    "edges and points among the faces": text(
        HOUSE, [(0, 1), *GABLES, (3,), *WALLS, *ROOF, *FLOOR]
    ),
    "another first corner": text(
        HOUSE, [(*face[2:], *face[:2]) for face in GABLES + WALLS + ROOF + FLOOR]
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", LEGAL.values(), ids=LEGAL)
def test_the_same_house_in_other_letters(path: Path, content: str) -> None:
    mesh = read_off(write(path, content))
    assert mesh.area == pytest.approx(HOUSE_AREA)
    assert np.array_equal(mesh.vertices, np.array(HOUSE, np.float64))


HEAD = "OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
WRONG = {
    "cut within the faces": (house()[:-20], "line .*corners|lines follow"),
    "a face less": (house().rsplit("\n", 2)[0], "counts 10 vertices and 7 faces, and 16 lines"),
    "a face more": (house() + "3 0 1 2\n", "and 18 lines follow"),
    "index below 0": (HEAD + "4 0 1 2 -1\n", "line 7: vertex -1 of the face"),
    "index too large": (HEAD + "4 0 1 2 4\n", r"line 7: vertex 4 .* \(0 … 3\)"),
    "index with a fraction": (HEAD + "4 0 1 2 2.5\n", "line 7: vertex 2.5"),
    "index that is none": (HEAD + "4 0 1 2 nan\n", "line 7: vertex nan"),
    "a word": (HEAD + "4 0 1 2 x\n", "line 7: '4 0 1 2 x' does not hold 5 numbers"),
    "too few corners": (HEAD + "5 0 1 2 3\n", "line 7: the face has fewer than its 5 corners"),
    "corners below 0": (HEAD + "-3 0 1 2\n", "line 7: '-3' is no number of corners"),
    "corners without end": (HEAD + "999999999 0 1 2\n", "line 7: the face has fewer"),
    "a place that is none": (HEAD.replace("1 1 0", "1 nan 0") + "4 0 1 2 3\n", "line 5: .* no place"),
    "a place without end": (HEAD.replace("1 1 0", "1 inf 0") + "4 0 1 2 3\n", "line 5: .* no place"),
    "two coordinates": (HEAD.replace("1 1 0", "1 1") + "4 0 1 2 3\n", "line 5: '1 1' does not hold 3"),
    "no area": ("OFF\n3 1 0\n0 0 0\n1 1 1\n2 2 2\n3 0 1 2\n", "no area"),
    "no face": ("OFF\n3 0 0\n0 0 0\n1 1 1\n2 2 0\n", "no area"),
    "no vertex": ("OFF\n0 1 0\n3 0 1 2\n", "line 3: vertex 0"),
    "nothing": ("", "it is empty"),
    "comments alone": ("# nothing\n\n", "it is empty"),
    "a header alone": ("OFF\n", "it ends behind its header"),
    "counts below 0": ("OFF\n-3 1 0\n", "line 2: '-3 1 0' is not the counts"),
    "counts with fractions": ("OFF\n3.0 1 0\n", "is not the counts"),
    "another format": ("ply\nformat ascii 1.0\n", "line 1: it begins with 'ply'"),
    "a longer word": (house("OFFSET"), "line 1: it begins with 'OFFSET10 7 0'"),
    "four dimensions": (house("4OFF\n"), "4-dimensional"),
    "binary": ("OFF BINARY\n\x00\x01", "binary OFF file"),
    "bytes": ("\x00\x01\x02", "it begins with"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "told"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_its_header_is_refused_by_name_and_line(
    path: Path, content: str, told: str
) -> None:
    write(path, content)
    meshes = DataFiles(path.parent, (path.name,))
    with pytest.raises(UserError, match=told) as error:
        _meshes.sampled("own", meshes, path.parent / "kept", "train", 64)
    text = str(error.value)
    assert str(path) in text
    assert "()" not in text
    assert len(text.splitlines()) == 1
    assert not list(path.parent.glob("kept/*.safetensors"))


def shoelace(corners: np.ndarray) -> float:
    """Gauss's area of a simple polygon."""
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


L_SHAPE = [(0, 0), (4, 0), (4, 1), (1, 1), (1, 3), (0, 3)]


@pytest.mark.parametrize("start", range(6))
@pytest.mark.parametrize("turned", [1, -1])
def test_a_face_that_is_not_convex_has_its_own_area(path: Path, start: int, turned: int) -> None:
    face = tuple((np.roll(np.arange(6), start)[::turned]).tolist())
    write(path, text([(x, 0, y) for x, y in L_SHAPE], [face]))
    assert read_off(path).area == pytest.approx(shoelace(np.array(L_SHAPE))) == 6


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.2, 1), min_size=4, max_size=12),
    st.integers(0, 11),
    st.integers(0, 2**31),
)
def test_stars_have_the_area_of_gauss(
    tmp_path_factory: pytest.TempPathFactory, radii: list[float], start: int, seed: int
) -> None:
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii)
    corners = np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0][:2]
    face = tuple(np.roll(np.arange(len(radii)), start).tolist())
    path = tmp_path_factory.mktemp("star") / "star.off"
    write(path, text([tuple(map(float, corner)) for corner in corners @ basis], [face]))
    mesh = read_off(path)
    assert mesh.area == pytest.approx(shoelace(corners), rel=1e-6)
    assert len(mesh.triangles) == len(radii) - 2


def test_faces_keep_their_order(path: Path) -> None:
    faces = [*itertools.permutations(range(3)), (0, 1, 2, 3), (3, 2, 1)]
    write(path, text([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], faces))
    triangles = [tuple(face) for face in read_off(path).triangles.tolist()]
    assert triangles == [*faces[:6], (0, 1, 2), (0, 2, 3), (3, 2, 1)]
