"""A record as a PDF: A4 across, a bundled font, table heads on every page, text to search and copy.

The same record gives the same bytes: its dates are the record's own.
"""

from io import BytesIO

from msgspec import Struct, field
from reportlab.lib.pagesizes import A4, landscape  # type: ignore[import-untyped]  # has no types
from reportlab.lib.units import mm  # type: ignore[import-untyped]  # has no types
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]  # has no types

from service.records.sheet import Sheet, Table
from service.records.typeset import FONT, Type, register

WIDTH, HEIGHT = landscape(A4)
LEFT, RIGHT, TOP, BOTTOM = 10 * mm, WIDTH - 10 * mm, HEIGHT - 12 * mm, 14 * mm
BODY, SMALL, HEAD, TITLE = 8.0, 6.6, 10.5, 16.0
# From one line to the next, in sizes.
LEADING = 1.32
PADDING = 2.8
GREY, LINE = 0.92, 0.7


class _Page(Struct):
    """What is to be drawn on a page: shaded boxes, rules and texts, by their places."""

    boxes: list[tuple[float, float, float]] = field(default_factory=list)
    rules: list[tuple[float, float]] = field(default_factory=list)
    texts: list[tuple[float, float, float, str]] = field(default_factory=list)


def file(sheet: Sheet) -> bytes:
    """The PDF."""
    register()
    layout = _Layout(Type())
    _lay(layout, sheet)
    if missing := layout.type.missing:
        codes = " ".join(f"U+{ord(sign):04X}" for sign in sorted(missing))
        layout.paragraph(sheet.no_glyph.format(codes=codes), SMALL)
    return _drawn(layout, sheet)


def _lay(layout: "_Layout", sheet: Sheet) -> None:
    layout.paragraph(sheet.title, TITLE)
    layout.paragraph(sheet.subtitle, BODY)
    layout.space(PADDING)
    layout.facts(sheet.facts)
    layout.heading(sheet.contract)
    for number, term in enumerate(sheet.terms, 1):
        layout.paragraph(f"{number}. {term}", BODY)
    for table in sheet.tables:
        layout.heading(table.title)
        layout.table(table)
        for note in table.notes:
            layout.paragraph(note, BODY)
    layout.heading(sheet.proof)
    for note in sheet.notes:
        layout.paragraph(note, SMALL)


class _Layout:
    """Fills pages from top to bottom."""

    def __init__(self, types: Type) -> None:
        self.type = types
        self.pages: list[_Page] = [_Page()]
        self._y = TOP

    def space(self, height: float) -> None:
        """Leave some."""
        self._y -= height

    def room(self, height: float) -> None:
        """Begin a page where this one has no room for so much."""
        if self._y - height < BOTTOM:
            self.pages.append(_Page())
            self._y = TOP

    def heading(self, text: str) -> None:
        """A heading; what follows begins on its page."""
        self.room(HEAD * LEADING + 8 * BODY)
        if self._y < TOP:
            self.space(0.9 * HEAD)
        self.space(HEAD)
        self._text(LEFT, HEAD, text)
        self.space(0.4 * HEAD)

    def paragraph(self, text: str, size: float) -> None:
        """Lines as long as the page is wide."""
        for line in self.type.wrapped(text, size, RIGHT - LEFT):
            self.room(size * LEADING)
            self.space(size * LEADING)
            self._text(LEFT, size, line)

    def facts(self, facts: list[tuple[str, str]]) -> None:
        """Labels with their values, in two columns."""
        half = (RIGHT - LEFT) / 2
        indent = 26 * mm
        for pair in (facts[start : start + 2] for start in range(0, len(facts), 2)):
            cells = [self.type.wrapped(value, BODY, half - indent - PADDING) for _, value in pair]
            self.room(max(map(len, cells)) * BODY * LEADING)
            top = self._y
            lowest = top
            for place, ((label, _), lines) in enumerate(zip(pair, cells, strict=True)):
                self._y = top - BODY * LEADING
                self._text(LEFT + place * half, BODY, label)
                for line in lines:
                    self._text(LEFT + place * half + indent, BODY, line)
                    self._y -= BODY * LEADING
                lowest = min(lowest, self._y + BODY * LEADING)
            self._y = lowest

    def table(self, table: Table) -> None:
        """Rows below their head, which stands on every page again."""
        if not table.rows:
            return
        width = (RIGHT - LEFT) / sum(column.share for column in table.columns)
        widths = [column.share * width for column in table.columns]
        head = self._wrapped(tuple(column.head for column in table.columns), widths)
        self._head(table, head, widths)
        for row in (*table.rows, *table.sums):
            self._row(table, head, widths, self._wrapped(row, widths))
        self.space(PADDING)

    def _wrapped(self, cells: tuple[str, ...], widths: list[float]) -> list[tuple[str, ...]]:
        return [
            self.type.wrapped(cell, SMALL, width - 2 * PADDING)
            for cell, width in zip(cells, widths, strict=True)
        ]

    def _head(self, table: Table, head: list[tuple[str, ...]], widths: list[float]) -> None:
        height = max(map(len, head)) * SMALL * LEADING + 2 * PADDING
        self.pages[-1].boxes.append((self._y, height, GREY))
        self._cells(table, head, widths, height)

    def _row(
        self,
        table: Table,
        head: list[tuple[str, ...]],
        widths: list[float],
        cells: list[tuple[str, ...]],
    ) -> None:
        """A row; one that is longer than what is left of the page goes on on the next.

        It is parted only where it would not fit on a page of its own either.
        """
        while True:
            lines = max(map(len, cells))
            fit = int((self._y - BOTTOM - 2 * PADDING) / (SMALL * LEADING))
            if lines <= fit:
                self._cells(table, cells, widths, lines * SMALL * LEADING + 2 * PADDING)
                return
            whole = int((TOP - BOTTOM) / (SMALL * LEADING)) - 6
            if lines > whole and fit > 6:
                part = [cell[:fit] for cell in cells]
                self._cells(table, part, widths, fit * SMALL * LEADING + 2 * PADDING)
                cells = [cell[fit:] for cell in cells]
            self.pages.append(_Page())
            self._y = TOP
            self._head(table, head, widths)

    def _cells(
        self, table: Table, cells: list[tuple[str, ...]], widths: list[float], height: float
    ) -> None:
        top, left = self._y, LEFT
        for column, lines, width in zip(table.columns, cells, widths, strict=True):
            self._y = top - PADDING - SMALL
            for line in lines:
                indent = (
                    width - PADDING - self.type.width(line, SMALL) if column.amount else PADDING
                )
                self._text(left + indent, SMALL, line)
                self._y -= SMALL * LEADING
            left += width
        self._y = top - height
        self.pages[-1].rules.append((LEFT, self._y))

    def _text(self, x: float, size: float, text: str) -> None:
        if text:
            self.pages[-1].texts.append((x, self._y, size, text))


def _drawn(layout: _Layout, sheet: Sheet) -> bytes:
    made = BytesIO()
    canvas = Canvas(
        made, pagesize=(WIDTH, HEIGHT), pageCompression=1, invariant=1, lang=sheet.language
    )
    canvas.setTitle(f"{sheet.title} {layout.type.printable(sheet.about)}")
    canvas.setSubject(sheet.subtitle)
    canvas.setAuthor(layout.type.printable(sheet.about))
    canvas.setCreator("Kafang")
    canvas.setDateFormatter(lambda *_: sheet.as_of.strftime("D:%Y%m%d%H%M%SZ"))
    pages = len(layout.pages)
    for number, page in enumerate(layout.pages, 1):
        _draw(canvas, page)
        foot = sheet.page.format(page=number, pages=pages)
        canvas.setFont(FONT, SMALL)
        canvas.drawString(LEFT, 8 * mm, layout.type.printable(f"{sheet.title} · {sheet.about}"))
        canvas.drawCentredString(WIDTH / 2, 8 * mm, sheet.as_of.strftime("%Y-%m-%dT%H:%M:%SZ"))
        canvas.drawRightString(RIGHT, 8 * mm, foot)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


def _draw(canvas: Canvas, page: _Page) -> None:
    for y, height, grey in page.boxes:
        canvas.setFillGray(grey)
        canvas.rect(LEFT, y - height, RIGHT - LEFT, height, stroke=0, fill=1)
    canvas.setFillGray(0)
    canvas.setStrokeGray(LINE)
    canvas.setLineWidth(0.4)
    for x, y in page.rules:
        canvas.line(x, y, RIGHT, y)
    text = canvas.beginText()
    now = 0.0
    for x, y, size, line in page.texts:
        if size != now:
            text.setFont(FONT, size)
            now = size
        text.setTextOrigin(x, y)
        text.textOut(line)
    canvas.drawText(text)
