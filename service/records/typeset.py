"""Setting type: the bundled font, how wide a text is, where it breaks, what the font lacks."""

import re
import unicodedata
from functools import lru_cache
from importlib.resources import as_file, files

from reportlab.pdfbase import pdfmetrics  # type: ignore[import-untyped]  # has no types
from reportlab.pdfbase.ttfonts import TTFont  # type: ignore[import-untyped]  # has no types

FONT = "record"
FILE = "NotoSansSC-GBK.ttf"
# What printers set where a type is missing; the bundled font has it.
MISSING = "〓"
# Brackets and closing signs stay with what they belong to; words and numbers stay whole.
_PIECES = re.compile(
    r"[（【《]*[^\s\u2e80-\uffff]+|\s|[（【《]*.[，。、；：！？）】》]*", re.DOTALL
)


@lru_cache(1)
def register() -> None:
    """Let PDFs of this process use the font."""
    with as_file(files("service.records").joinpath("fonts", FILE)) as path:
        pdfmetrics.registerFont(TTFont(FONT, str(path)))


class Type:
    """The font, and what was asked of it that it hasn't got."""

    def __init__(self) -> None:
        face = pdfmetrics.getFont(FONT).face
        self._widths: dict[int, float] = face.charWidths
        self._glyphs: dict[int, int] = face.charToGlyph
        self.missing: set[str] = set()
        self.wrapped = lru_cache(20_000)(self._wrapped)

    def printable(self, text: str) -> str:
        """The text with a visible sign for each character that the font lacks."""
        if all(ord(sign) in self._glyphs for sign in text):
            return text
        return "".join(self._one(sign) for sign in text)

    def width(self, text: str, size: float) -> float:
        """How wide a printable text is, in points."""
        return sum([self._widths[ord(sign)] for sign in text]) * size / 1000

    def _one(self, sign: str) -> str:
        if ord(sign) in self._glyphs:
            return sign
        if unicodedata.category(sign) == "Cf":  # our own isolates: this page runs one way
            return ""
        self.missing.add(sign)
        return MISSING

    def _wrapped(self, text: str, size: float, width: float) -> tuple[str, ...]:
        """The printable lines of a text that has to fit into a width."""
        lines: list[str] = []
        for part in text.split("\n"):
            lines.extend(self._broken(self.printable(part), size, width))
        return tuple(lines)

    def _broken(self, text: str, size: float, width: float) -> list[str]:
        if self.width(text, size) <= width:
            return [text]
        lines, line, left = [], "", width
        for piece in _PIECES.findall(text):
            wide = self.width(piece, size)
            while wide > left and (line or wide > width):
                fitting = self._fitting(piece, size, left) if wide > width else 0
                line, piece = line + piece[:fitting], piece[fitting:]
                lines.append(line.rstrip())
                line, left, wide = "", width, self.width(piece, size)
            line, left = line + piece, left - wide
        return [*lines, line]

    def _fitting(self, piece: str, size: float, left: float) -> int:
        """How many characters of an overlong piece still fit."""
        count = 0
        while count < len(piece) and self.width(piece[: count + 1], size) <= left:
            count += 1
        return count
