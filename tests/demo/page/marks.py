"""Pieces of HTML: numbers that carry their exact value, tables, bars."""

from collections.abc import Iterable, Sequence
from html import escape

text = escape


def chinese(words: str) -> str:
    """Words in Chinese, so that they are set and read as such."""
    return f'<span lang="zh-Hans">{escape(words)}</span>'


def code(word: str) -> str:
    """A word of the API, which may break where it is joined."""
    return f"<code>{escape(word).replace('_', '_<wbr/>')}</code>"


def yuan(minor: int) -> str:
    """Fen as yuan; the element's value is in fen."""
    sign, value = "−" if minor < 0 else "", abs(minor)
    return f'<data value="{minor}">{sign}{value // 100:,}.{value % 100:02}</data>'


def number(value: int) -> str:
    """A count."""
    return f'<data value="{value}">{value:,}</data>'


def section(name: str, title: str, body: str, note: str = "") -> str:
    """A part of the report, with a sentence on how to read it."""
    said = f"<p class='note'>{note}</p>" if note else ""
    return f'<section id="{name}"><h2>{title}</h2>{said}{body}</section>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table whose first column names the row."""
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def bar(start: float, end: float, kind: str = "one") -> str:
    """A bar from `start` to `end`, both parts of 1 of the room there is."""
    left, width = 100 * min(start, end), 100 * abs(end - start)
    return (
        '<span class="bar" aria-hidden="true">'
        f'<span class="{kind}" style="left:{left:.2f}%;width:{width:.2f}%"></span></span>'
    )
