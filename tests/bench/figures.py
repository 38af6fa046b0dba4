"""What is measured: runs, their medians and ratios, and the lines of the report."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median

from msgspec import Struct


class BenchError(RuntimeError):
    """A measurement that can't be trusted or can't be made; the message says why."""


class Run(Struct, frozen=True):
    """One run of one contender; the ledger must have gained `least` to `most` redemptions by it."""

    stamp: str
    per_s: float
    least: int
    most: int


class Line(Struct, frozen=True):
    """A line of the report. `met` is None where there is no target."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None


Contender = Callable[[], Awaitable[float]]


async def alternate(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Each contender's figures; they take turns, so that what the machine does hits all alike."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            figures[name].append(await run())
    return figures


def best(figures: Mapping[str, Sequence[float]]) -> str:
    """The name with the highest median."""
    return max(figures, key=lambda name: median(figures[name]))


def rate(figures: Sequence[float]) -> str:
    """Median (least – most) per second."""
    return f"{median(figures):,.0f}/s ({min(figures):,.0f} – {max(figures):,.0f})"


def rate_line(what: str, figures: Sequence[float]) -> Line:
    """A throughput without a target of its own."""
    return Line(what, rate(figures))


def ratio_line(
    what: str, ours: Sequence[float], theirs: Sequence[float], least: float | None
) -> Line:
    """The ratio round by round, and whether its median reaches `least`."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle = median(ratios)
    figure = f"{middle:.2f} × ({min(ratios):.2f} – {max(ratios):.2f})"
    if least is None:
        return Line(what, figure)
    return Line(what, figure, f"≥ {least:g} ×", middle >= least)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values don't exceed; the values must be sorted."""
    return values[min(len(values) - 1, int(len(values) * share))]
