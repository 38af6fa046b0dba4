"""How far the demo is, on stderr: each chapter as it opens, and what it came to."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from tests.demo.messages import Op


class Progress:
    """Tells to `stream`."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream

    def say(self, text: str) -> None:
        """A line of its own."""
        self._write(f"{text} …\n")

    def chapter(self, at: str, title: str, tells: str) -> None:
        """A chapter opens."""
        self._write(f"{at:<7} {title}: {tells}\n")

    def closed(self, ops: Sequence[Op], deaths: Sequence[str]) -> None:
        """What a chapter came to."""
        done = Counter(op.kind for op in ops if op.status < 400)
        counts = {
            "operations": len(ops),
            "sales": done["redeem"],
            "top-ups": done["top_up"],
            "refunds": done["refund"],
            "refused": sum(bool(op.codes) for op in ops),
            "lines cut": sum(op.drops for op in ops),
        }
        told = [f"{name} {count}" for name, count in counts.items() if count]
        told += [f"{name} killed and replaced" for name in deaths]
        self._write(f"        {', '.join(told)}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
