"""Watch the process that computes a cell: peak memory, the memory limit, and whether it is orphaned."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType

import psutil

from reldrop_bench.kinds.executor import MEMORY_EXIT

ORPHAN_EXIT = 78
"""Exit code of a worker whose parent has died."""
INTERVAL = 0.1


class ProcessWatch:
    """Context manager that samples this process's resident memory in a thread.

    Above `limit` bytes the process ends itself at once with exit code 77, so that one greedy cell
    costs itself alone; with `worker=True` it also ends (code 78) when its parent has died. `also` is
    called at each look.
    """

    def __init__(
        self,
        limit: int | None = None,
        worker: bool = False,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        self.limit = limit
        self.worker = worker
        self.also = also
        self.peak = 0
        self._process = psutil.Process()
        self._parent = os.getppid()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _look(self) -> None:
        memory = self._process.memory_info().rss
        self.peak = max(self.peak, memory)
        if self.limit is not None and memory > self.limit:
            os._exit(MEMORY_EXIT)
        if self.worker and os.getppid() != self._parent:
            os._exit(ORPHAN_EXIT)
        self.also()

    def _sample(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._look()

    def __enter__(self) -> ProcessWatch:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = max(self.peak, self._process.memory_info().rss)
