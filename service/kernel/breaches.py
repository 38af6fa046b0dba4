"""Passwords that were found in breaches, looked up in a file of their hashes.

The file has a line for each, the SHA-1 in hex (capitals), a colon and how often it was seen, in the
order of the hashes: what Have I Been Pwned's downloader writes, some 40 GB. It is searched where it
lies, by halves; nothing leaves the host.
"""

import mmap
from hashlib import sha1
from pathlib import Path

DIGITS = 40


class Breaches:
    """A file of hashes. Raises OSError, or ValueError for one that isn't of that kind."""

    def __init__(self, file: str) -> None:
        with Path(file).open("rb") as opened:
            first = opened.readline()
            digits = first[:DIGITS].decode("ascii", "replace")
            if len(digits) < DIGITS or set(digits) - set("0123456789ABCDEF"):
                raise ValueError(f"{file}: its first line isn't a SHA-1 in hex, in capitals")
            self._lines = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)

    def has(self, password: str) -> bool:
        """Whether it was in a breach."""
        # SHA-1 because the file has it: nothing is kept as one.
        sought = sha1(password.encode("utf-8"), usedforsecurity=False).hexdigest().upper().encode()
        low, high = 0, len(self._lines)
        while low < high:
            middle = (low + high) // 2
            start = self._next_line(middle)
            found = self._lines[start : start + DIGITS]
            if start >= high or found > sought:
                high = middle
            elif found < sought:
                low = start + 1
            else:
                return True
        return False

    def _next_line(self, at: int) -> int:
        """Where the first line begins that doesn't begin before `at`."""
        end = self._lines.find(b"\n", max(at - 1, 0)) if at else -1
        return end + 1 if end >= 0 or not at else len(self._lines)
