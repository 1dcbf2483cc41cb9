"""Furniture of Sweet Home 3D: a small copy in its format, and the package itself where it is installed."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reldrop_bench.data import Split
from reldrop_bench.errors import UserError
from reldrop_bench.files import CACHE_VARIABLE
from reldrop_bench.plugins.datasets import _furniture, _packages
from reldrop_bench.plugins.datasets._furniture import CLASSES, LIST, POOL, label_of
from reldrop_bench.plugins.datasets.furniture import Furniture
from reldrop_bench.running.runner import run

NAMES = {
    "bed": "Child bed", "light": "Lampe d'été", "opening": "Glass door", "plant": "Palm tree",
    "seat": "Bar stool", "sofa": "Corner sofa", "storage": "Bookcase", "table": "Coffee table",
    "vehicle": "Van", "vessel": "Wine bottle",
}  # fmt: skip
CATEGORIES = {"light": "Lights", "opening": "Doors and windows", "vehicle": "Vehicles"}
HEADER = "# © 2008-2020 eTeks\nid=SweetHome3D#Models\nname=Models\nversion=1.8\n"


def solid(*seed: int) -> NDArray[np.float64]:
    """Return the corners (8, 3) of a bent box that is like no other one."""
    generator = np.random.default_rng(seed)
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    return (corners + generator.uniform(-0.6, 0.6, (8, 3))) * generator.uniform(0.3, 3, 3)


QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def obj(corners: NDArray[np.float64], material: str = "wood") -> str:
    """Write corners and quadrilaterals as the package's files are: with textures, normals, groups."""
    places = "".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in corners)
    faces = "".join("f " + " ".join(f"{c + 1}/1/1" for c in quad) + "\n" for quad in QUADS)
    head = "#\n# Wavefront OBJ\n#\nmtllib model.mtl\n\ng sweethome3d\n"
    return f"{head}{places}vt 0.0 0.0\nvn 0.0 1.0 0.0\nusemtl {material}\n{faces}"


def entry(number: int, label: str, path: str, more: str = "") -> str:
    return (
        f"\nid#{number}=Maker#{number}\nname#{number}={NAMES[label]}\ntags#{number}=\n"
        f"category#{number}={CATEGORIES.get(label, 'Living room')}\nmodel#{number}=/{path}\n"
        f"width#{number}=60.0\ndropOnTopElevation#-1\n{more}creator#{number}=Zoë\n"
    )


def archive(path: Path, listed: str | None, models: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        if listed is not None:
            written.writestr(LIST, (HEADER + listed).encode("latin-1"))
        for name, text in models.items():
            written.writestr(name, text)


TURNED = "modelRotation#30=1 0 0 0 0 1 0 -1 0\n"
SECOND_MAKER = "BlendSwap-CC-0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder: two makers, three models of each class by each, and the first one's first
    models of all classes once more by the other maker, larger, shifted, in another colour."""
    root = tmp_path_factory.mktemp("data")
    (root / "furniture").mkdir()
    for maker, name in enumerate(("Scopia", SECOND_MAKER)):
        listed, models = "", {}
        for label in CLASSES:
            for copy in range(4 if maker else 3):
                path = f"{name.lower()}/{label}{copy}/{label}{copy}.obj"
                number = len(models) + 1
                corners = solid(maker, CLASSES.index(label), copy)
                material = "wood"
                if copy == 3:
                    corners, material = 7 * solid(0, CLASSES.index(label), 0) + 100, "steel"
                more = ""
                if maker == 0 and number == 30:
                    corners, more = solid(0, 0, 1)[:, [0, 2, 1]] * [1, -1, 1], TURNED
                models[path] = obj(corners, material)
                listed += entry(number, label, path, more)
        listed += "\nname#99=Teddy bear\ncategory#99=Bedroom\nmodel#99=/nowhere.obj\n"
        archive(root / "furniture" / f"{name}.sh3f", listed, models)
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """Return a copy that may be damaged."""
    return shutil.copytree(whole, tmp_path / "data")


TASK = Furniture(points=POOL, normals=True, validation=0.3)
BY_MAKER = replace(TASK, split="maker")


def models_of(
    split: Split, root: Path | None, task: Furniture = TASK
) -> list[_furniture.Furniture]:
    """Return which models a split holds, known by the normals of their first 64 points."""
    models, clouds, _ = _furniture.load_furniture(task.name, task.data_files(root))
    known = {
        cloud[3:, :64].contiguous().numpy().tobytes(): model
        for cloud, model in zip(clouds, models, strict=True)
    }
    inputs = split.batch(torch.arange(len(split))).inputs
    return [known[cloud[3:, :64].contiguous().numpy().tobytes()] for cloud in inputs]


@pytest.mark.parametrize(
    ("category", "name", "label"),
    [
        ("Living room", "Winchester armchair", "seat"), ("Living room", "Futon couch", "sofa"),
        ("Lights", "Desk lamp", "light"), ("Bedroom", "Bedside table", "table"),
        ("Kitchen", "Glass door cabinet", "storage"), ("Living room", "Glass table", "table"),
        ("Doors and windows", "Glass door", "opening"), ("Vehicles", "Seat Leon", "vehicle"),
        ("Miscellaneous", "Table fan", ""), ("Kitchen", "Cup cake", ""), ("Office", "Tablet", ""),
        ("Miscellaneous", "Workbench", ""), ("Characters", "Sitting female", ""),
        ("Kitchen", "Plate, glasses and cutlery", ""), ("Exterior", "Flower box", ""),
    ],
)  # fmt: skip
def test_the_class_is_by_whole_words_and_the_first_rule_that_fits(
    category: str, name: str, label: str
) -> None:
    assert label_of(category, name) == label


def test_facts_shapes_and_the_unit_sphere(whole: Path) -> None:
    facts, splits, test = TASK.facts(whole), TASK.splits(whole, 0), TASK.test(whole)
    assert facts.classes == CLASSES
    assert facts.input_shape == (6, POOL) == test.inputs.shape[1:]
    assert len(splits.train) + len(splits.validation) + len(test) == 70
    for split in (*splits, test):
        inputs = split.batch(torch.arange(len(split))).inputs
        assert torch.allclose(inputs[:, :3].norm(dim=1).amax(1), torch.ones(()))
        assert inputs[:, :3].mean(2).abs().max() < 1e-5
        assert torch.allclose(inputs[:, 3:].norm(dim=1), torch.ones(()), atol=1e-5)
        assert split.targets.unique().tolist() == list(range(10))
    few = Furniture(points=100).test(whole)
    assert few.inputs.shape == (len(test), 3, 100)
    assert torch.allclose(few.inputs.norm(dim=1).amax(1), torch.ones(()))
    assert torch.equal(few.targets, test.targets)


def test_models_are_upright_along_the_third_axis(whole: Path) -> None:
    """In OBJ files the second axis goes up; the catalogue says how a model is turned to stand so."""
    models, clouds, groups = _furniture.load_furniture(TASK.name, TASK.data_files(whole))
    place = [model.path for model in models].index("scopia/bed1/bed1.obj")
    corners = solid(0, 0, 1)[:, [0, 2, 1]] * [1, -1, 1]
    extent = clouds[place, :3].amax(1) - clouds[place, :3].amin(1)
    expected = torch.from_numpy(np.ptp(corners, axis=0)).float()
    assert torch.allclose(extent / extent.sum(), expected / expected.sum(), atol=0.03)
    turned = [model.path for model in models].index("scopia/vessel2/vessel2.obj")
    assert groups[place] == groups[turned]


def own_shape(root: Path, model: _furniture.Furniture) -> NDArray[np.float64]:
    """Return the corners of a model of the small copy, centred and of size 1, in the order of the file."""
    with zipfile.ZipFile(root / "furniture" / model.archive) as opened:
        lines = opened.read(model.path).decode().splitlines()
    corners = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    corners -= corners.mean(0)
    return corners / np.linalg.norm(corners, axis=1).max()


def test_no_shape_is_on_both_sides_of_a_split(whole: Path) -> None:
    """Compared by their corners, without sampling."""
    for task, seed in ((TASK, 0), (TASK, 1), (BY_MAKER, 0)):
        splits = task.splits(whole, seed)
        parts = [models_of(split, whole) for split in (*splits, task.test(whole))]
        shapes = [np.array([own_shape(whole, model) for model in part]) for part in parts]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            apart = np.abs(shapes[one][:, None] - shapes[other][None]).max((2, 3))
            assert apart.min() > 0.05


def test_copies_are_of_one_group_and_others_are_not(whole: Path) -> None:
    models, _, groups = _furniture.load_furniture(TASK.name, TASK.data_files(whole))
    shapes = np.array([own_shape(whole, model) for model in models])
    same = np.abs(shapes[:, None] - shapes[None]).max((2, 3)) < 0.01
    assert same.sum() == 70 + 2 * 10
    together = (groups[:, None] == groups[None]).numpy()
    assert together[same].all()
    turned = "scopia/vessel2/vessel2.obj"  # has the shape of another one once it is upright
    plain = [index for index, model in enumerate(models) if model.path != turned]
    assert together[np.ix_(plain, plain)].sum() < same.sum() * 1.1


def test_the_test_part_is_fixed_and_validation_follows_the_seed(whole: Path) -> None:
    tests = [models_of(TASK.test(whole), whole) for _ in range(2)]
    assert tests[0] == tests[1]
    drawn = [models_of(TASK.splits(whole, seed).validation, whole) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_makers_are_apart_and_what_they_share_is_not_trained_on(whole: Path) -> None:
    task = BY_MAKER
    train, validation = (models_of(split, whole) for split in task.splits(whole, 0))
    assert {model.maker for model in train + validation} == {"Scopia"}
    tested = models_of(task.test(whole), whole)
    assert {model.maker for model in tested} == {"BlendSwap"}
    assert len(tested) == 40
    assert not [model for model in train + validation if model.path.endswith("0.obj")]
    other = replace(BY_MAKER, trained_on="BlendSwap")
    assert {model.maker for model in models_of(other.test(whole), whole)} == {"Scopia"}


def test_it_trains_and_is_measured_by_the_harness(whole: Path, tmp_path: Path) -> None:
    task = {"furniture": {"points": 64, "split": "maker"}}
    spec = {"name": "f", "tasks": [task], "regularizers": ["none"], "seeds": 1,
            "evaluations": ["accuracy", "shifts"], "recipe": {"epochs": 1}}  # fmt: skip
    results = run(spec, output=tmp_path / "results", workers=0, data=whole)
    assert results.cells["status"].tolist() == ["done"], results.cells["error"].tolist()
    assert results.metrics["value"].notna().all()


def test_clouds_are_kept_in_the_users_cache_and_made_again_where_damaged(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    before = sorted(whole.rglob("*"))
    _furniture._load.cache_clear()
    first = TASK.test(whole).inputs
    (kept,) = (tmp_path / "cache" / "furniture").glob("*.safetensors")
    assert sorted(whole.rglob("*")) == before
    monkeypatch.setattr(_furniture, "_sample", None)  # nothing is sampled a second time
    _furniture._load.cache_clear()
    assert torch.equal(TASK.test(whole).inputs, first)
    monkeypatch.undo()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    kept.write_bytes(kept.read_bytes()[:-8] + b"\0" * 8)
    _furniture._load.cache_clear()
    with pytest.warns(UserWarning, match=r"furniture: .* was damaged .* is made again"):
        assert torch.equal(TASK.test(whole).inputs, first)


def rewrite(root: Path, name: str, content: str | None) -> None:
    """Replace, or leave out, one file of Scopia's catalogue."""
    path = root / "furniture" / "Scopia.sh3f"
    with zipfile.ZipFile(path) as opened:
        files = {each: opened.read(each) for each in opened.namelist() if each != name}
    with zipfile.ZipFile(path, "w") as written:
        for each, old in files.items():
            written.writestr(each, old)
        if content is not None:
            written.writestr(name, content)


BED = "scopia/bed0/bed0.obj"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (LIST, None, r"Scopia\.sh3f is no catalogue .*PluginFurnitureCatalog\.properties"),
        (LIST, "name#1=Bed\ncategory#1=Bedroom\n", r"is no catalogue .*model#1"),
        (LIST, "what is this", r"holds no|hold no|no maker"),
        (BED, None, r"bed0\.obj in .*Scopia\.sh3f is no mesh"),
        (BED, "", r"bed0\.obj in .*Scopia\.sh3f is no mesh"),
        (BED, "v 0 0 0\nv 1 0 0\nv 0 1 0\n", r"bed0\.obj .*no mesh that can be read \(.*faces"),
        (BED, "v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", r"bed0\.obj .*faces have no area"),
        (BED, "v 0 0 0\nv 1 nan 0\nv 0 1 0\nf 1 2 3\n", r"bed0\.obj .*no finite number"),
        (BED, "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", r"bed0\.obj .*is no mesh"),
    ],
)
def test_what_cannot_be_read_is_named(
    root: Path, name: str, content: str | None, message: str
) -> None:
    rewrite(root, name, content)
    with pytest.raises(UserError, match=message) as error:
        BY_MAKER.splits(root, 0)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("furniture: ")


def test_missing_and_truncated_catalogues_are_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = root / "furniture" / "Scopia.sh3f"
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(UserError, match=r"Scopia\.sh3f is no catalogue .* copy its files again"):
        TASK.test(root)
    file.unlink()
    with pytest.raises(UserError, match=r"trained_on names no maker: 'Scopia'; .*BlendSwap"):
        BY_MAKER.test(root)
    (root / "furniture" / f"{SECOND_MAKER}.sh3f").unlink()
    with pytest.raises(UserError, match=r"holds no catalogue \(\*\.sh3f\)"):
        TASK.facts(root)
    monkeypatch.setattr(_packages, "SHARED", tmp_path / "nothing")
    for nowhere in (None, tmp_path):
        with pytest.raises(UserError, match=r"apt-get install sweethome3d-furniture.*--data DATA"):
            TASK.facts(nowhere)


def test_a_class_without_models_is_named(root: Path) -> None:
    listed = "".join(
        entry(number, label, f"scopia/{label}0/{label}0.obj")
        for number, label in enumerate(CLASSES)
        if label != "plant"
    )
    rewrite(root, LIST, HEADER + listed)
    with pytest.raises(UserError, match="the training data hold no model of the class bed, light"):
        BY_MAKER.splits(root, 0)
    (root / "furniture" / f"{SECOND_MAKER}.sh3f").unlink()
    with pytest.raises(UserError, match="the catalogues hold no model of the class plant"):
        TASK.test(root)


def test_wrong_use_is_one_line() -> None:
    with pytest.raises(UserError, match="trained_on = KatorLegaz says nothing"):
        Furniture(trained_on="KatorLegaz")
    with pytest.raises(UserError, match="points"):
        Furniture(points=POOL + 1)


@pytest.fixture
def installed() -> Furniture:
    """Return the task where Debian's package is installed; without it tests are skipped, in CI they fail."""
    if not (_packages.SHARED / "sweethome3d" / "furniture").is_dir():
        message = "no furniture found; on Debian: apt-get install sweethome3d-furniture"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return Furniture()


def test_the_package_holds_what_is_said(installed: Furniture) -> None:
    files = installed.data_files(None)
    listed = [
        model for file in files.names for model in _furniture._listed("f", files.folder / file)
    ]
    assert Counter(model.label for model in listed) == {
        "seat": 70, "table": 48, "plant": 40, "storage": 39, "opening": 35, "vessel": 34,
        "light": 34, "vehicle": 28, "sofa": 23, "bed": 17,
    }  # fmt: skip
    assert Counter(model.maker for model in listed) == {
        "Scopia": 173, "BlendSwap": 142, "KatorLegaz": 53
    }  # fmt: skip


@pytest.mark.slow
def test_pointnet_learns_the_package(installed: Furniture, tmp_path: Path) -> None:
    """No group is in two parts, the sedan's two versions are of one, and most objects are recognised."""
    models, _, groups = _furniture.load_furniture(installed.name, installed.data_files(None))
    of = {model.path.split("/")[1]: group for model, group in zip(models, groups, strict=True)}
    assert of["concept-sedan-01v1"] == of["concept-sedan-01v2"]
    assert of["pine"] == of["pineSnow"] != of["cypress"]
    group_of = dict(zip(models, groups.tolist(), strict=True))
    for task in (TASK, BY_MAKER):
        parts = [*task.splits(None, 0), task.test(None)]
        known = [{group_of[model] for model in models_of(part, None, task)} for part in parts]
        assert len(set().union(*known)) == sum(map(len, known))
    spec = {"name": "f", "tasks": ["furniture"], "regularizers": ["none"], "seeds": 1,
            "evaluations": ["accuracy"], "recipe": {"epochs": 12}}  # fmt: skip
    metrics = run(spec, output=tmp_path / "results", workers=0).metrics
    accuracy = metrics[(metrics["metric"] == "accuracy") & (metrics["split"] == "test")]["value"]
    assert accuracy.item() > 0.6
