"""A record as a page that holds all it needs: no script, nothing loaded, print rules for A4."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from importlib.resources import files

from service.records.sheet import Sheet, Table

MEDIA_TYPE = "text/html; charset=utf-8"


def _style() -> str:
    return files("service.records").joinpath("record.css").read_text("utf-8")


def policy() -> str:
    """The Content-Security-Policy of the page: its own style, and nothing else at all."""
    known = b64encode(sha256(_style().encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'sha256-{known}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def page(sheet: Sheet) -> bytes:
    """The page."""
    return "".join(_parts(sheet)).encode("utf-8")


def _parts(sheet: Sheet) -> Iterator[str]:
    title = escape(f"{sheet.title} {sheet.about}")
    yield f'<!doctype html>\n<html lang="{sheet.language}">\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>{title}</title>\n<style>{_style()}</style>\n</head>\n<body>\n"
    yield f"<header><h1>{escape(sheet.title)}</h1><p>{escape(sheet.subtitle)}</p></header>\n<dl>"
    for label, value in sheet.facts:
        yield f"<div><dt>{escape(label)}</dt><dd>{_lines(value)}</dd></div>"
    yield f"</dl>\n<section><h2>{escape(sheet.contract)}</h2><ol>"
    yield from (f"<li>{escape(term)}</li>" for term in sheet.terms)
    yield "</ol></section>\n"
    for table in sheet.tables:
        yield from _table(table)
    yield f'<section id="proof"><h2>{escape(sheet.proof)}</h2>'
    yield from (f"<p>{escape(note)}</p>" for note in sheet.notes)
    yield "</section>\n</body>\n</html>\n"


def _table(table: Table) -> Iterator[str]:
    yield f'<section id="{table.name}"><h2>{escape(table.title)}</h2>'
    if table.rows:
        yield '<div class="wide"><table><thead>'
        yield _row("th", table, [column.head for column in table.columns], ' scope="col"')
        yield "</thead>\n<tbody>"
        yield from (_row("td", table, row) for row in table.rows)
        yield "</tbody>"
        if table.sums:
            yield "<tfoot>" + "".join(_row("td", table, row) for row in table.sums) + "</tfoot>"
        yield "</table></div>"
    yield from (f'<p class="note">{escape(note)}</p>' for note in table.notes)
    yield "</section>\n"


def _row(tag: str, table: Table, cells: Iterable[str], more: str = "") -> str:
    parts = (
        f"<{tag}{more}{' class=amount' if column.amount else ''}>{_lines(cell)}</{tag}>"
        for column, cell in zip(table.columns, cells, strict=True)
    )
    return f"<tr>{''.join(parts)}</tr>\n"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
