"""Ctrl-C and SIGTERM while a command runs: the work is stopped once, in order, and one line says so."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

QUIET = 10.0
"""Seconds after a signal in which further ones are not heard: what it began comes to its end."""


class Stopping:
    """Turns SIGINT and SIGTERM into KeyboardInterrupt, and remembers which it was.

    A signal that is ignored when the process starts stays so: nohup, or a shell's background.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        """The last that was heard."""
        self._heard = -QUIET
        self._before: dict[int, object] = {}

    @property
    def exit_code(self) -> int | None:
        """What the process should end with; None where nothing stopped it."""
        return None if self.signal is None else 128 + self.signal

    def listen(self) -> None:
        """Begin to hear signals; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            if (before := signal.getsignal(number)) not in (signal.SIG_IGN, None):
                self._before[number] = before
                signal.signal(number, self._hear)

    def end(self) -> None:
        """Hear no more; where the process is ending because of one, nothing else may end it now.

        The interpreter puts the default action in the place of every handler while it ends, but leaves
        a signal ignored.
        """
        for number, before in self._before.items():
            after = before if self.signal is None else signal.SIG_IGN
            signal.signal(number, after)  # type: ignore[arg-type]

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._heard < QUIET:
            return
        self._heard, self.signal = now, number
        raise KeyboardInterrupt
