"""Makes the bundled font of printed records from Debian's Noto Sans CJK; run by hand, once.

    python -m venv made && made/bin/pip install fonttools==4.68.0
    apt-get download fonts-noto-cjk && dpkg -x fonts-noto-cjk_*.deb noto
    made/bin/python -m tests.records.make_font noto/usr/share/fonts/opentype/noto/*-Regular.ttc

It keeps what GBK has (all of GB 2312, the traditional forms, 21,003 characters) with Latin letters,
punctuation and signs, turns the outlines into those that PDF libraries read, and drops the rest.
The same source and tool give the same bytes: `test_fonts.py` knows both digests.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "service" / "records" / "fonts"
NAME = "NotoSansSC-GBK.ttf"
SOURCE_SHA256 = "b76b0433203017ca80401b2ee0dd69350349871c4b19d504c34dbdd80541690a"
# Of the faces in the collection, the one with the forms of the mainland.
FACE = "NotoSansCJKsc-Regular"
# How far a curve may be off, in thousandths of its size: at 16 points, six hundredths of one.
OFF_MAX = 4.0
# Latin, Greek and Cyrillic letters, punctuation, currencies, arrows, operators, enclosed signs.
BEYOND_GBK = (
    (0x20, 0x17F), (0x2000, 0x206F), (0x20A0, 0x20BF), (0x2100, 0x22FF), (0x2460, 0x24FF),
    (0x27E6, 0x27EB), (0x3000, 0x303F), (0xFF00, 0xFFEF),
)  # fmt: skip
TABLES_DROPPED = ["BASE", "GDEF", "GPOS", "GSUB", "VORG", "vhea", "vmtx"]


def characters() -> set[int]:
    """The code points of the font."""
    found = {code for first, last in BEYOND_GBK for code in range(first, last + 1)}
    for high in range(0x81, 0xFF):
        for low in range(0x40, 0xFF):
            try:
                found.update(map(ord, bytes([high, low]).decode("gbk")))
            except UnicodeDecodeError:
                continue
    return found


def make(source: Path) -> bytes:
    """The font, made from the collection."""
    from fontTools import subset  # type: ignore[import-not-found]  # not in this environment
    from fontTools.ttLib import TTCollection  # type: ignore[import-not-found]  # the same

    collection = TTCollection(source, recalcTimestamp=False)
    (font,) = (one for one in collection.fonts if one["name"].getDebugName(6) == FACE)
    options = subset.Options(
        hinting=False,
        layout_features=[],
        name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14],
        notdef_outline=True,
        desubroutinize=True,
    )
    options.drop_tables += TABLES_DROPPED
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=characters())
    subsetter.subset(font)
    _quadratic(font)
    target = FOLDER / NAME
    font.save(target)
    return target.read_bytes()


def _quadratic(font: Any) -> None:
    """Outlines of cubic curves (CFF) become quadratic ones (glyf)."""
    from fontTools.pens.cu2quPen import Cu2QuPen  # type: ignore[import-not-found]  # as above
    from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-not-found]  # as above
    from fontTools.ttLib import newTable

    drawings, order, made = font.getGlyphSet(), font.getGlyphOrder(), {}
    for name in order:
        pen = TTGlyphPen(None)
        drawings[name].draw(Cu2QuPen(pen, OFF_MAX, reverse_direction=True))
        made[name] = pen.glyph()
    font["loca"] = newTable("loca")
    font["glyf"] = newTable("glyf")
    font["glyf"].glyphOrder, font["glyf"].glyphs = order, made
    sizes = font["maxp"]
    sizes.tableVersion, sizes.maxZones = 0x00010000, 1
    for name in ("TwilightPoints", "Storage", "FunctionDefs", "InstructionDefs", "StackElements",
                 "SizeOfInstructions", "ComponentElements"):  # fmt: skip
        setattr(sizes, f"max{name}", 0)
    font["post"].formatType = 3.0
    del font["CFF "]
    font.sfntVersion = "\0\1\0\0"


def main() -> None:
    """Write the font and print its digest."""
    (source,) = (Path(name) for name in sys.argv[1:] if "Sans" in name)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if digest != SOURCE_SHA256:
        sys.exit(f"another source: {digest}")
    print(hashlib.sha256(make(source)).hexdigest())


if __name__ == "__main__":
    main()
