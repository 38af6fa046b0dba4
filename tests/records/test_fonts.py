"""The bundled font: the one that was made, under its licence, with every character it promises."""

import hashlib
import json
from importlib.resources import files

from service.kernel.money import MINUS, SIGNS
from service.records.typeset import FILE, MISSING, Type, register
from service.records.words import words
from tests.records import make_font

SHA256 = "dc5286da216be4ccd9c4c447dc3d7403451ddbdb9409707aa4d99a40c7652143"
SIZE_MAX = 6_200_000


def lacked(text: str) -> set[str]:
    """The characters of a text that the font lacks."""
    register()
    types = Type()
    types.printable(text)
    return types.missing


def test_it_is_the_font_that_the_script_makes() -> None:
    font = files("service.records").joinpath("fonts", FILE).read_bytes()
    assert hashlib.sha256(font).hexdigest() == SHA256
    assert len(font) < SIZE_MAX
    licence = files("service.records").joinpath("fonts", "OFL.txt").read_text("utf-8")
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence


def test_it_has_what_gb_2312_and_gbk_have() -> None:
    levels = "".join(
        bytes([high, low]).decode("gb2312", "ignore")
        for high in range(0xB0, 0xF8)
        for low in range(0xA1, 0xFF)
    )
    assert len(levels) == 6_763
    assert lacked(levels) == set()
    assert lacked("，。、；：！？“”‘’（）《》【】·…—￥¥€£ 0123456789 ABCxyz éü") == set()
    assert lacked("赟镕喆堃昇珺鑫臺灣儲值") == set()
    assert len(make_font.characters()) > 22_000


def test_it_has_every_sign_that_we_print_ourselves() -> None:
    assert lacked(json.dumps(words(), ensure_ascii=False)) == set()
    assert lacked("".join(SIGNS.values()) + MINUS + MISSING + "–\u00a0") == set()


def test_a_character_that_it_lacks_is_seen() -> None:
    assert lacked("王𰻞😀") == {"𰻞", "😀"}
    assert Type().printable("王𰻞") == f"王{MISSING}"
