"""Sweet Home 3D's furniture: which models there are, their class by name, and clouds of their surfaces."""

from __future__ import annotations

import configparser
import functools
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reldrop_bench import DataFiles, UserError
from reldrop_bench.errors import one_line
from reldrop_bench.files import cache_folder
from reldrop_bench.kinds.content import content_of
from reldrop_bench.seeding import derive_seed

from ._clouds import in_unit_sphere
from ._duplicates import duplicate_groups
from ._kept import kept

if TYPE_CHECKING:
    import trimesh

LIST = "PluginFurnitureCatalog.properties"
POOL = 2048
"""Surface points of each model that its clouds are drawn from."""
VERSION = 1
"""Part of the cache's name: raise it when the same models would give other clouds or groups."""
ADVICE = "install the package sweethome3d-furniture again, or copy its files again"


class Rule(NamedTuple):
    """What belongs to a class: models of the categories, and those with one of the words in their name."""

    label: str
    categories: tuple[str, ...]
    words: str


# The first rule that fits decides. Words are whole words of the English name, in small letters.
RULES = (
    Rule("", (), "abdominal cake curtain cutlery fan football model piano plate pool tennis toy"),
    Rule("light", ("Lights",), ""),
    Rule("opening", ("Doors and windows",), ""),
    Rule("vehicle", ("Vehicles",), ""),
    Rule("sofa", (), "couch sofa"),
    Rule("bed", (), "bed crib futon"),
    Rule("table", (), "desk table"),
    Rule("seat", (), "armchair bank bench chair ottoman stool"),
    Rule("storage", (), "bookcase cabinet chest cupboard dresser freezer fridge locker refrigerator "
                        "shelves wardrobe"),
    Rule("plant", (), "acacia bamboo beech blossom bush cactus coconut cypress ficus flowers lily "
                      "maple orchids palm pine plant poplar spathiphyllum tree tulips yucca"),
    Rule("vessel", (), "bottle bowl creamer cup flacon glass jar mug pottery teapot vase"),
)  # fmt: skip
"""Of which class a model is. What no rule fits belongs to none, as what the first one fits, whose words
tell that another word misleads: a table fan, a cup cake, a football table, several things at once."""
CLASSES = tuple(sorted(rule.label for rule in RULES if rule.label))


class Furniture(NamedTuple):
    """A model of the catalogue."""

    archive: str
    path: str
    """Of its OBJ file in the archive."""
    maker: str
    """The archive's name up to the first "-": BlendSwap-CC-0 and BlendSwap-CC-BY are of one."""
    label: str
    turned: tuple[float, ...]
    """The rotation that puts it upright: a (3, 3) matrix, row by row."""


def label_of(category: str, name: str) -> str:
    """Return the class of a model, empty where it belongs to none."""
    words = set(re.findall("[a-z]+", name.lower()))
    for rule in RULES:
        if category in rule.categories or words & set(rule.words.split()):
            return rule.label
    return ""


def catalogue_files(name: str, folder: Path) -> DataFiles:
    """Return the catalogues of a folder; UserError where there is none."""
    names = tuple(sorted(path.name for path in folder.glob("[!.]*.sh3f")))
    if not names:
        raise UserError(f"{name}: {folder.absolute()} holds no catalogue (*.sh3f); {ADVICE}")
    return DataFiles(folder, names)


def load_furniture(name: str, files: DataFiles) -> tuple[tuple[Furniture, ...], Tensor, Tensor]:
    """Return the N models of a class, their clouds (N, 6, POOL), and their groups (N,) int64.

    Clouds hold points evenly over the surface, in the unit sphere and upright along the third axis, and
    normals. A group holds near-duplicates. Clouds and groups are kept in the user's cache folder.

    Raises
    ------
    UserError
        A catalogue or a model that cannot be read; the message names it.
    """
    return _load(name, files, content_of(files).digest)


@functools.lru_cache(maxsize=2)
def _load(name: str, files: DataFiles, digest: str) -> tuple[tuple[Furniture, ...], Tensor, Tensor]:
    models = tuple(
        model for archive in files.names for model in _listed(name, files.folder / archive)
    )

    def make() -> dict[str, Tensor]:
        clouds = _sample(name, files.folder, models)
        return {
            "clouds": clouds,
            "groups": torch.from_numpy(duplicate_groups(clouds[:, :3].numpy())),
        }

    tensors = kept(
        name,
        files,
        digest,
        folder=cache_folder() / name,
        label="clouds",
        depends=[VERSION, name, models],
        shapes={"clouds": (len(models), 6, POOL), "groups": (len(models),)},
        make=make,
    )
    return models, tensors["clouds"], tensors["groups"]


def _listed(name: str, path: Path) -> Iterator[Furniture]:
    """Yield what a catalogue holds of the classes, in its order."""
    parser = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#",), interpolation=None, strict=False,
        allow_no_value=True,
    )  # fmt: skip
    try:
        with zipfile.ZipFile(path) as archive:
            parser.read_string("[all]\n" + archive.read(LIST).decode("latin-1"))
        entries = parser["all"]
        numbers = (key.removeprefix("name#") for key in entries if key.startswith("name#"))
        for number in sorted(numbers, key=int):
            label = label_of(entries[f"category#{number}"], entries[f"name#{number}"])
            if label:
                turned = entries.get(f"modelrotation#{number}", "1 0 0 0 1 0 0 0 1").split()
                yield Furniture(
                    path.name,
                    entries[f"model#{number}"].lstrip("/"),
                    path.stem.partition("-")[0],
                    label,
                    tuple(map(float, turned)),
                )
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, configparser.Error) as error:
        raise UserError(
            f"{name}: {path} is no catalogue that can be read ({one_line(error, 160)}); {ADVICE}"
        ) from None


def _sample(name: str, folder: Path, models: tuple[Furniture, ...]) -> Tensor:
    """Sample every model evenly over its area; each has its own random stream, named by its path."""
    from trimesh.sample import sample_surface

    clouds = torch.empty(len(models), 6, POOL)
    for file in sorted({model.archive for model in models}):
        with zipfile.ZipFile(folder / file) as archive:
            for index, model in enumerate(models):
                if model.archive != file:
                    continue
                try:
                    mesh = _mesh(archive.read(model.path), model.turned)
                    seed = derive_seed(name, "surface", model.path) % 2**32
                    points, faces = sample_surface(mesh, POOL, seed=seed)[:2]
                except Exception as error:  # noqa: BLE001 - whatever trimesh raises at what is no mesh
                    reason = one_line(error, 160) or type(error).__name__
                    raise UserError(
                        f"{name}: {model.path} in {folder / file} is no mesh that can be read "
                        f"({reason}); {ADVICE}"
                    ) from None
                cloud = np.concatenate([in_unit_sphere(points), mesh.face_normals[faces]], 1)
                clouds[index] = torch.from_numpy(cloud.T)
    return clouds


def _mesh(content: bytes, turned: tuple[float, ...]) -> trimesh.Trimesh:
    """Return a model's surface, upright along the third axis; raises ValueError where it has none."""
    import trimesh

    # Places and faces alone: nothing here uses textures, and trimesh warns of some that are incomplete.
    lines = re.findall(rb"^[ \t]*[vf][ \t].*$", content, re.MULTILINE)
    shape = re.sub(rb"/[\d/-]*", b"", b"\n".join(lines))
    read = trimesh.load_mesh(io.BytesIO(shape), file_type="obj", process=False)
    vertices = np.asarray(read.vertices, np.float64)
    if not len(read.faces):
        raise ValueError("it has no faces")
    if not np.isfinite(vertices).all():
        raise ValueError("a coordinate is no finite number")
    x, y, z = (vertices @ np.reshape(turned, (3, 3)).T).T
    mesh = trimesh.Trimesh(np.stack([x, -z, y], 1), read.faces, process=False)
    if not mesh.area > 0:
        raise ValueError("its faces have no area")
    return mesh
