"""What a cell ran on: versions and machine, for the record."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "reldrop-bench",
    "torch",
    "torchvision",
    "torch-geometric",
    "lightning-fabric",
    "zennit",
    "quantus",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "trimesh",
)
"""What can change a result."""


def compute_device(index: int = 0) -> torch.device:
    """Return the device that cells are computed on: the GPU of that index, else the CPU."""
    return torch.device("cuda", index) if torch.cuda.is_available() else torch.device("cpu")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """Return the processor's name as well as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """Return versions, system, processor and accelerator."""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else "none"
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "accelerator": accelerator,
        "device": device.type,
        "threads": threads,
    }
