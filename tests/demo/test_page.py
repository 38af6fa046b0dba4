"""The report as a file: its numbers are the API's, it is whole and needs nothing from elsewhere."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Tree

import pytest
from msgspec.structs import replace

from schemas.reports import MovementList
from tests.demo import page
from tests.demo.__main__ import NAME, keep
from tests.demo.books import Facts, faults
from tests.demo.conftest import Run
from tests.demo.page.svg import BOTTOM, HEIGHT, Columns, columns

# Everything by which a page can ask for something that is not in it.
OUTSIDE = re.compile(
    r"https?:|//[\w.-]+\.|\b(?:src|href|srcset|data|poster|action)\s*=|url\(|@import|"
    r"<(?:script|link|iframe|object|embed|img|image|use|base)\b",
    re.IGNORECASE,
)


def parsed(html: str) -> Tree.Element:
    """The document; raises ParseError unless every element is closed in its place."""
    return Tree.fromstring(html.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314  # our own report


def named(tree: Tree.Element, name: str) -> Tree.Element:
    """The element with an id."""
    found = [one for one in tree.iter() if one.get("id") == name]
    assert len(found) == 1, name
    return found[0]


def values(element: Tree.Element) -> list[int]:
    """The exact numbers in it, in order; each must be what is shown."""
    found = []
    for one in element.iter("data"):
        value = int(one.get("value", ""))
        digits = re.sub(r"[,.]", "", (one.text or "").replace("−", "-"))
        assert int(digits) == value, f"{one.text} is shown, {value} is meant"
        found.append(value)
    return found


def row(tree: Tree.Element, name: str) -> list[int]:
    """The numbers in the row whose first cell holds an id."""
    found = [one for one in tree.iter("tr") if any(part.get("id") == name for part in one.iter())]
    assert len(found) == 1, name
    return values(found[0])


def rolled(day: MovementList, kind: str, way: str) -> list[int]:
    """Principal, bonus and total of one flow of a report, signed."""
    sign = 1 if way == "value_in" else -1
    parts = [
        sum(
            sign * getattr(flow, way)
            for line in day.data
            if line.account == account
            for flow in line.flows
            if flow.kind == kind
        )
        for account in ("principal", "bonus")
    ]
    return [*parts, sum(parts)]


FLOWS = {
    "top_up": ("top_up", "value_in"),
    "redeem": ("redeem", "value_out"),
    "refund": ("refund", "value_in"),
    "void": ("void", "value_in"),
    "redeem_reversed": ("reversal", "value_in"),
    "top_up_reversed": ("reversal", "value_out"),
    "lapse": ("lapse", "value_out"),
}


def disagreements(html: str, facts: Facts) -> list[str]:
    """Where the file says otherwise than the reports of the API and the checker."""
    tree, reports = parsed(html), facts.reports
    expected: dict[str, list[int]] = {
        f"roll-{flow}": rolled(reports.day, *of) for flow, of in FLOWS.items()
    }
    for end in ("opening", "closing"):
        parts = [
            sum(getattr(line, end) for line in reports.day.data if line.account == account)
            for account in ("principal", "bonus")
        ]
        expected[f"roll-{end}"] = [*parts, sum(parts)]
    found = [name for name, numbers in expected.items() if row(tree, name) != numbers]
    single = {
        "closing": expected["roll-closing"][-1],
        "liability": sum(line.value for line in reports.owed.data),
        "cards": facts.balances.total,
        "redeemed": sum(cell.redeemed for cell in reports.settlements.data),
        "given-back": sum(cell.given_back for cell in reports.settlements.data),
        "breaches": len(facts.breaches),
        "verified": facts.operations,
        "planned": facts.planned,
        "begun": facts.begun,
    }
    found += [name for name, number in single.items() if values(named(tree, name)) != [number]]
    moved = sum(sum(expected[f"roll-{flow}"][2:]) for flow in FLOWS)
    if expected["roll-opening"][2] + moved != expected["roll-closing"][2]:
        found.append("the roll-forward does not balance")
    return found + _matrix(tree, facts)


def _matrix(tree: Tree.Element, facts: Facts) -> list[str]:
    """The table of the stores against the report it was made from."""
    rows = [
        values(one) for one in named(tree, "settlements").iter("tr") if one.find("td") is not None
    ]
    stores = [store.store_id for store in facts.stores]
    expected = [
        [
            sum(
                cell.redeemed - cell.given_back
                for cell in facts.reports.settlements.data
                if (cell.sold_store_id, cell.used_store_id) == (sold, used)
            )
            for used in stores
        ]
        for sold in stores
    ]
    sums = [[*line, sum(line)] for line in expected]
    sums.append([sum(column) for column in zip(*sums, strict=True)])
    return [] if rows == sums else ["settlements"]


def test_its_numbers_are_the_reports_and_the_checkers(run: Run) -> None:
    assert disagreements(run.html, run.facts) == []
    assert run.html == page.html(run.facts)
    tree = parsed(run.html)
    assert named(tree, "verdict").text == "The books balance, to the cent."
    listed = "".join(named(tree, "invariants").itertext())
    assert all(name in listed and says in listed for name, says in run.facts.checks.items())
    assert all(run.facts.checks.values()), "each says what it checks"
    refused = {code for op in run.facts.ops for code in op.codes}
    for code in refused:
        told = sum(op.codes.count(code) for op in run.facts.ops)
        assert row(tree, f"refused-{code}") == [told]


def test_a_number_that_was_changed_shows(run: Run) -> None:
    numbers = [one for one in parsed(run.html).iter("data") if int(one.get("value", "0")) > 1000]
    shown = next(one.text for one in numbers if one.text)
    with pytest.raises(AssertionError, match="is shown"):
        values(parsed(run.html.replace(f">{shown}<", ">1.00<")))


def _breach(facts: Facts) -> Facts:
    return replace(facts, breaches=["INV-D3 CNY: one fen <more>"])


def _moved(facts: Facts) -> Facts:
    day = facts.reports.day
    lines = [replace(one, closing=one.closing + 1) for one in day.data]
    return replace(facts, reports=replace(facts.reports, day=replace(day, data=lines)))


def _store(facts: Facts) -> Facts:
    settlements = facts.reports.settlements
    cells = [replace(settlements.data[0], redeemed=0), *settlements.data[1:]]
    changed = replace(settlements, data=cells)
    return replace(facts, reports=replace(facts.reports, settlements=changed))


CHANGES: dict[str, Callable[[Facts], Facts]] = {
    "breaches": _breach,
    "roll-closing": _moved,
    "settlements": _store,
    "verified": lambda facts: replace(facts, operations=facts.operations + 1),
    "begun": lambda facts: replace(facts, begun=0),
}


@pytest.mark.parametrize("place", CHANGES)
def test_other_facts_do_not_agree_with_it(run: Run, place: str) -> None:
    assert place in disagreements(run.html, CHANGES[place](run.facts))


@pytest.mark.parametrize("place", sorted(set(CHANGES) - {"verified"}))
def test_a_report_of_a_bad_day_says_so(run: Run, place: str) -> None:
    facts = CHANGES[place](run.facts)
    verdict = named(parsed(page.html(facts)), "verdict")
    assert verdict.get("class") == "verdict bad"
    assert [one.text for one in verdict.iter("li")] == faults(facts) != []


def test_it_needs_nothing_from_elsewhere(run: Run) -> None:
    assert OUTSIDE.search(run.html) is None


@pytest.mark.parametrize(
    "bad",
    [
        "<script>x</script>",
        '<link rel="x"/>',
        '<img alt=""/>',
        '<i style="background:url(x)"/>',
        "<style>@import 'x'</style>",
        '<a href="x"/>',
        "<svg xmlns='http://x'/>",
        "//cdn.example/x",
    ],
)
def test_what_would_ask_for_something_is_seen(run: Run, bad: str) -> None:
    assert OUTSIDE.search(run.html.replace("</main>", f"{bad}</main>"))


def test_a_file_that_is_not_well_formed_is_seen(run: Run) -> None:
    with pytest.raises(Tree.ParseError):
        parsed(run.html.replace("</section>", "", 1))


def test_names_in_chinese_are_marked_as_such(run: Run) -> None:
    tree = parsed(run.html)
    words = {one.text for one in tree.iter("span") if one.get("lang") == "zh-Hans"}
    assert {store.name for store in run.facts.stores} | {"洗剪吹", "染发"} <= words
    style = "".join(one.text or "" for one in tree.iter("style"))
    assert all(family in style for family in ("PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC"))
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_columns_stand_on_zero_and_are_as_high_as_their_values() -> None:
    chart = Columns("a <b>", "ms", [(1,), (2, 3), (0,), (4,)], ["1", "2", "3", "4"], [(0, "0")])
    tree = parsed(columns(chart))
    bars = [one for one in tree.iter("rect") if one.get("class") in ("one", "two")]
    heights = [float(one.get("height", "")) for one in bars]
    assert [round(height / heights[0]) for height in heights] == [1, 2, 3, 4]
    feet = [float(one.get("y", "")) + float(one.get("height", "")) for one in bars]
    ground = HEIGHT - BOTTOM
    assert [round(foot) for foot in feet] == [
        ground, ground, round(ground - heights[1]), ground
    ]  # fmt: skip
    assert tree.get("aria-label") == "a <b>"
    assert any(one.text == "0" for one in tree.iter("text"))


def test_a_day_without_a_redemption_is_drawn_too(run: Run) -> None:
    quiet = replace(run.facts, ops=[op for op in run.facts.ops if op.kind != "redeem"])
    assert named(parsed(page.html(quiet)), "latency") is not None


def test_where_the_report_is_kept(tmp_path: Path) -> None:
    assert keep("a", tmp_path / "asked.html") == tmp_path / "asked.html"
    assert keep("b", None, tmp_path / "folder") == tmp_path / "folder" / NAME
    file = tmp_path / "no-folder"
    file.touch()
    elsewhere = keep("c", None, file)
    assert elsewhere.read_text("utf-8") == "c"
    assert elsewhere.name == NAME
    elsewhere.unlink()
    elsewhere.parent.rmdir()
