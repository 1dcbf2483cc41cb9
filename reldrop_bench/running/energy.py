"""Energy that the machine says it has used, where it says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import torch

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the counters of Intel's and AMD's processors (RAPL)."""


def processor_counters(root: Path = POWERCAP) -> Mapping[Path, int]:
    """Return the readable counters of whole processors with the value at which each wraps [µJ].

    Those that are called "package-…": others are parts of these (cores, memory) or hold them (psys,
    the platform). Many systems let only root read them, and virtual machines have none: then there
    is nothing.
    """
    found = {}
    for path in sorted(root.glob("*-rapl:*")):
        try:
            if not (path / "name").read_text().startswith("package"):
                continue
            (path / "energy_uj").read_text()
            found[path] = int((path / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            continue
    return found


def gpu_counter(device: torch.device) -> Callable[[], float] | None:
    """Return a function that reads a GPU's energy counter [J], where its driver offers one."""
    if device.type != "cuda":
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode())
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # noqa: BLE001 - no library, no driver, an old GPU: there is no counter
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000


class EnergyMeter:
    """Context manager that reads what processors and the GPU used meanwhile.

    `joules` is None where no counter can be read. Counters are those of the whole processor and the
    whole GPU: what other processes used is in them, so that it is an upper bound and cells are
    compared fairly only with one worker on an otherwise idle machine. Processor counters wrap after
    minutes to hours: `read` is called now and then to follow them.
    """

    def __init__(self, device: torch.device, root: Path = POWERCAP) -> None:
        self.joules: float | None = None
        self._counters = processor_counters(root)
        self._gpu = gpu_counter(device)
        self._wrapped = dict.fromkeys(self._counters, 0)
        self._last: dict[Path, int] = {}
        self._gpu_start = 0.0

    def read(self) -> None:
        """Look at the processors' counters."""
        try:
            for path, span in self._counters.items():
                value = int((path / "energy_uj").read_text())
                self._wrapped[path] += (value - self._last.get(path, value)) % (span + 1)
                self._last[path] = value
        except (OSError, ValueError):  # no counter is worth a training
            self._counters = {}

    def __enter__(self) -> EnergyMeter:
        self.read()
        self._gpu_start = self._gpu() if self._gpu else 0.0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.read()
        if not self._counters and self._gpu is None:
            return
        self.joules = sum(self._wrapped[path] for path in self._counters) / 1e6
        if self._gpu:
            self.joules += self._gpu() - self._gpu_start
