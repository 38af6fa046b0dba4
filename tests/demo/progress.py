"""How far the demo is, on stderr: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections import Counter
from typing import TextIO

WIDTH = 30
SPARSE_S = 10.0


class Progress:
    """Shows to `stream`, as its kind allows."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._bar = stream.isatty()
        self._shown_at = time.monotonic()

    def say(self, text: str) -> None:
        """A line of its own."""
        self._write(f"\r\x1b[K{text} …\n" if self._bar else f"{text} …\n")

    def show(self, part: float, operations: int, kinds: Counter[str]) -> None:
        """`part` of 1 is done."""
        counts = ", ".join(
            f"{kinds[kind]} {kind}" for kind in ("issue", "top_up", "redeem", "refund")
        )
        if self._bar:
            full = round(part * WIDTH)
            bar = "█" * full + "░" * (WIDTH - full)
            self._write(f"\r\x1b[K{bar} {part:4.0%}  {operations} operations: {counts}")
        elif time.monotonic() - self._shown_at >= SPARSE_S:
            self._shown_at = time.monotonic()
            self._write(f"{part:4.0%}  {operations} operations: {counts}\n")

    def done(self, operations: int) -> None:
        """The bar stays as it is."""
        self._write("\n" if self._bar else f"100%  {operations} operations\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
