"""ModelNet as meshes in its real layout."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.content import DataFiles
from reldrop_bench.plugins.datasets import _meshes
from reldrop_bench.plugins.datasets.modelnet import CLASSES_10, CLASSES_40, ModelNet10, ModelNet40

pytestmark = pytest.mark.usefixtures("no_network")

# A box of 1 × 2 × 4, off centre: corners, and faces of four corners each.
CORNERS = [(x, y, z) for x in (3, 4) for y in (5, 7) for z in (0, 4)]
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def off(header: str = "OFF\n") -> str:
    """Return the box as an OFF file, triangles and quads mixed, as ModelNet's files are."""
    faces = [f"3 {a} {b} {c}\n3 {a} {c} {d}" for a, b, c, d in QUADS[:3]]
    faces += [f"4 {a} {b} {c} {d}" for a, b, c, d in QUADS[3:]]
    corners = "\n".join(" ".join(map(str, corner)) for corner in CORNERS)
    return f"{header}{len(CORNERS)} 9 0\n{corners}\n" + "\n".join(faces) + "\n"


def write(root: Path, name: str, classes: tuple[str, ...]) -> Path:
    raw = root / name / "raw"
    for label in classes:
        for part, numbers in (("train", (1, 2, 3, 10)), ("test", (11,))):
            folder = raw / label / part
            folder.mkdir(parents=True)
            for number in numbers:
                # Some real files lack the line break behind OFF.
                header = "OFF" if number == 2 else "OFF\n"
                (folder / f"{label}_{number:04}.off").write_text(off(header))
    return raw


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write(tmp_path, "modelnet10", CLASSES_10)


TASK = ModelNet10(points=128, normals=True, validation=0.25)


def test_splits_facts_and_shapes(raw: Path, tmp_path: Path) -> None:
    facts, splits, test = TASK.facts(tmp_path), TASK.splits(tmp_path, 0), TASK.test(tmp_path)
    assert facts.input_shape == (6, 128)
    assert facts.classes == CLASSES_10
    assert torch.bincount(splits.train.targets).tolist() == [3] * 10
    assert torch.bincount(splits.validation.targets).tolist() == [1] * 10
    assert test.targets.tolist() == list(range(10))
    assert test.inputs.shape == (10, 6, 128)
    assert test.inputs.dtype == torch.float32
    assert ModelNet10(points=64).test(tmp_path).inputs.shape == (10, 3, 64)


def test_clouds_fill_the_unit_sphere_and_normals_belong_to_their_points(
    raw: Path, tmp_path: Path
) -> None:
    clouds = ModelNet10(points=512, normals=True).test(tmp_path).inputs
    assert torch.allclose(clouds[:, :3].mean(2), torch.zeros(()), atol=1e-5)
    assert torch.allclose(clouds[:, :3].norm(dim=1).amax(1), torch.ones(()), atol=1e-5)
    # On a box each normal is along one axis, and its point is at the box's end on that axis.
    strength, axis = clouds[:, 3:].abs().max(1)
    assert strength.min() > 0.999
    low, high = clouds[:, :3].amin(2), clouds[:, :3].amax(2)
    place = clouds[:, :3].gather(1, axis[:, None])[:, 0]
    ends = torch.stack([place - low.gather(1, axis), high.gather(1, axis) - place]).amin(0)
    assert ends.abs().max() < 1e-5
    extent = high - low
    assert torch.allclose(extent / extent[:, :1], torch.tensor([1.0, 2.0, 4.0]), rtol=0.1)


def test_a_header_without_line_break_reads_as_the_same_mesh(raw: Path, tmp_path: Path) -> None:
    pool = TASK.splits(tmp_path, 0).train.whole
    extents = pool.inputs[:, :3].amax(2) - pool.inputs[:, :3].amin(2)
    assert torch.allclose(extents[1], extents[0], rtol=0.15)


def test_sampling_depends_on_the_file_alone(raw: Path, tmp_path: Path) -> None:
    test = TASK.test(tmp_path).inputs
    second = tmp_path / "copy"
    shutil.copytree(tmp_path / "modelnet10", second / "modelnet10")
    shutil.rmtree(second / "modelnet10" / "sampled")
    shutil.rmtree(second / "modelnet10" / "raw" / "bed")
    write_again = second / "modelnet10" / "raw" / "bed"
    shutil.copytree(raw / "bed", write_again)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(TASK.test(second).inputs, test)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_cache_is_used_and_follows_the_files(raw: Path, tmp_path: Path) -> None:
    before = TASK.test(tmp_path)
    _meshes._sampled.cache_clear()
    cached = list((tmp_path / "modelnet10" / "sampled").glob("test-*.safetensors"))
    assert len(cached) == 1
    assert torch.equal(TASK.test(tmp_path).inputs, before.inputs)
    shutil.copy(raw / "bed/test/bed_0011.off", raw / "bed/test/bed_0012.off")
    _meshes._sampled.cache_clear()
    assert len(TASK.test(tmp_path)) == 11


def test_a_folder_that_cannot_be_written_is_read_all_the_same(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "modelnet10" / "sampled").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be written"):
        test = TASK.test(tmp_path)
    assert len(test) == 10


def test_all_40_classes_are_known_and_asked_for(tmp_path: Path) -> None:
    assert len(set(CLASSES_40)) == 40
    assert set(CLASSES_10) < set(CLASSES_40)
    assert list(CLASSES_40) == sorted(CLASSES_40)
    raw = write(tmp_path, "modelnet40", CLASSES_40)
    assert ModelNet40().facts(tmp_path).classes == CLASSES_40
    (raw / "__MACOSX").mkdir()
    assert ModelNet40(points=16).test(tmp_path).targets.tolist() == list(range(40))
    shutil.rmtree(raw / "xbox")
    with pytest.raises(UserError, match="has no folder xbox") as error:
        ModelNet40().facts(tmp_path)
    assert "\n" not in str(error.value)


def test_missing_data_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"RELDROP_DATA.*modelnet10/raw"):
        TASK.facts(None)
    with pytest.raises(UserError) as error:
        TASK.test(tmp_path)
    assert str(tmp_path / "modelnet10" / "raw") in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "modelnet10").exists()


def test_an_empty_class_is_named(raw: Path, tmp_path: Path) -> None:
    (raw / "sofa" / "test" / "sofa_0011.off").unlink()
    with pytest.raises(UserError, match=r"sofa/test holds no file sofa_\*\.off"):
        TASK.test(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "OFF\n", "OFF\nx y z\n", "OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n", "\x00\x01"],
    ids=["empty", "header only", "no counts", "no area", "binary"],
)
def test_a_damaged_mesh_is_named(raw: Path, tmp_path: Path, content: str) -> None:
    path = raw / "desk" / "test" / "desk_0011.off"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        TASK.test(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "modelnet10" / "sampled").glob("*.safetensors"))


@pytest.mark.parametrize("damage", ["cut", "emptied", "one bit", "another's"])
def test_a_damaged_cache_is_made_again_with_a_note(raw: Path, tmp_path: Path, damage: str) -> None:
    before = TASK.test(tmp_path).inputs
    (cache,) = (tmp_path / "modelnet10" / "sampled").glob("test-*.safetensors")
    content = bytearray(cache.read_bytes())
    content[-3] ^= 1
    written = {"cut": content[:500], "emptied": b"", "one bit": content}
    if damage == "another's":
        save_file({"clouds": torch.zeros(3, 6, 128)}, cache)
    else:
        cache.write_bytes(written[damage])
    _meshes._sampled.cache_clear()
    with pytest.warns(UserWarning, match=r"was damaged .* is made again") as caught:
        again = TASK.test(tmp_path).inputs
    assert torch.equal(again, before)
    assert str(cache) in str(caught[0].message)
    _meshes._sampled.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(TASK.test(tmp_path).inputs, before)


def test_meshes_that_change_while_they_are_read_are_not_kept(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = raw / "bed" / "test" / "bed_0011.off"
    content = path.read_text()
    sample = _meshes._sample

    def disturbed(*arguments: Any) -> torch.Tensor:
        path.write_text(content.replace("3 5 0", "2 5 0"))
        return sample(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(_meshes, "_sample", disturbed)
        with pytest.raises(UserError, match="changed while they were read; run again"):
            TASK.test(tmp_path)
    path.write_text(content)
    kept = TASK.test(tmp_path).inputs
    _meshes._sampled.cache_clear()
    shutil.rmtree(tmp_path / "modelnet10" / "sampled")
    assert torch.equal(kept, TASK.test(tmp_path).inputs)


def test_a_mesh_that_is_mended_at_the_same_size_is_read_again(raw: Path, tmp_path: Path) -> None:
    before = TASK.test(tmp_path).inputs
    path = raw / "bed" / "test" / "bed_0011.off"
    content = path.read_text()
    path.write_text(content.replace("3 5 0", "2 5 0"))
    assert path.stat().st_size == len(content)
    after = TASK.test(tmp_path).inputs  # in the same process
    changed = (after != before).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [CLASSES_10.index("bed")]


def test_a_mesh_far_from_the_origin_gives_the_cloud_of_the_same_mesh_at_the_origin(
    tmp_path: Path,
) -> None:
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    faces = ["0 1 3 2", "4 6 7 5", "0 4 5 1", "2 3 7 6", "0 2 6 4", "1 5 7 3"]
    clouds = []
    for place in ((0, 0, 0), (500_000, 5_400_000, 100)):
        points = "\n".join(
            " ".join(str(a + b) for a, b in zip(corner, place, strict=True)) for corner in corners
        )
        lines = "\n".join(f"4 {face}" for face in faces)
        folder = tmp_path / str(place[0])
        folder.mkdir()
        (folder / "cube.off").write_text(f"OFF\n8 6 0\n{points}\n{lines}\n")
        clouds.append(
            _meshes.sampled("cubes", DataFiles(folder, ("cube.off",)), folder, "all", 256)
        )
    torch.testing.assert_close(clouds[1], clouds[0], rtol=0, atol=1e-6)
