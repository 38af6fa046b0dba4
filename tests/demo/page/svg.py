"""Columns over an axis as inline SVG: stacked, from zero, labelled where they stand."""

from html import escape

from msgspec import Struct, field

WIDTH, HEIGHT = 400, 244
LEFT, RIGHT, TOP, BOTTOM = 36, 8, 40, 38
_ROOM, _RISE = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
SERIES = ("one", "two")
LINES_MAX = 5


class Columns(Struct, frozen=True):
    """What to draw. Places on the axis are counted in columns, from 0.

    `stacks`: each column's values, from below; `names`: what each column is, for whoever points at
    it; `bands`: (from, to, label) above the columns; `marks`: (place, label) of an upright line.
    """

    label: str
    unit: str
    stacks: list[tuple[int, ...]]
    names: list[str]
    ticks: list[tuple[float, str]]
    bands: list[tuple[float, float, str]] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)


def columns(chart: Columns) -> str:
    """The chart; its colours and fonts are the style sheet's."""
    step = _step(max((sum(stack) for stack in chart.stacks), default=0))
    highest = max(sum(stack) for stack in chart.stacks)
    top = max(1, -(-highest // step)) * step
    parts = [
        *_bands(chart),
        *_lines(step, top),
        *(line for place in range(len(chart.stacks)) for line in _stack(chart, place, top)),
        *_axis(chart),
        *_marks(chart),
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.label)}">'
        f"{''.join(parts)}</svg>"
    )


def _step(highest: int) -> int:
    """1, 2 or 5 times a power of ten: few enough lines."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if highest <= step * LINES_MAX:
                return step
        size *= 10


def _x(chart: Columns, place: float) -> float:
    return LEFT + _ROOM * place / len(chart.stacks)


def _y(value: float, top: int) -> float:
    return TOP + _RISE * (1 - value / top)


def _bands(chart: Columns) -> list[str]:
    parts = []
    for number, (start, end, label) in enumerate(chart.bands):
        left, right = _x(chart, start), _x(chart, end)
        shade = "odd" if number % 2 else "even"
        parts.append(
            f'<rect class="band {shade}" x="{left:.1f}" y="{TOP - 16}" '
            f'width="{right - left:.1f}" height="{_RISE + 16}"/>'
            + _text((left + right) / 2, TOP - 5, "middle", label)
        )
    return parts


def _lines(step: int, top: int) -> list[str]:
    return [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        + _text(LEFT - 5, y + 4, "end", f"{value:,}")
        for value in range(0, top + 1, step)
        for y in [_y(value, top)]
    ]


def _stack(chart: Columns, place: int, top: int) -> list[str]:
    left, right = _x(chart, place) + 0.6, _x(chart, place + 1) - 0.6
    parts, below = [], 0
    for series, value in zip(SERIES, chart.stacks[place], strict=False):
        if value:
            y, foot = _y(below + value, top), _y(below, top)
            parts.append(
                f'<rect class="{series}" x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" '
                f'height="{foot - y:.1f}"><title>{escape(chart.names[place])}</title></rect>'
            )
        below += value
    return parts


def _axis(chart: Columns) -> list[str]:
    foot = TOP + _RISE
    ticks = [
        f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{foot}" y2="{foot + 4}"/>'
        + _text(x, foot + 16, "middle", label)
        for place, label in chart.ticks
        for x in [_x(chart, place)]
    ]
    line = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{foot}" y2="{foot}"/>'
    return [line, *ticks, _text(LEFT + _ROOM / 2, HEIGHT - 5, "middle", chart.unit)]


def _marks(chart: Columns) -> list[str]:
    """Upright lines; a label keeps to the side that has room, and to its own height."""
    parts = []
    for number, (place, label) in enumerate(chart.marks):
        x, y = _x(chart, place), TOP - 26 + 16 * number
        roomy = x < WIDTH * 0.6
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9}" y2="{TOP + _RISE}"/>'
            + _text(x + (5 if roomy else -5), y, "start" if roomy else "end", label)
        )
    return parts


def _text(x: float, y: float, anchor: str, label: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(label)}</text>'
