"""Trouble: what went wrong on purpose and what became of it, what was refused, what was checked."""

from collections import Counter

from tests.demo.books import Facts
from tests.demo.page.marks import bar, chinese, code, number, section, table, text

FATES = {
    "cut": "Line cut right after sending",
    "late": "Line cut a moment later",
    "double_tap": "Sent twice at once",
    "given_up": "No answer, customer gone: undone by key",
    "too_late": "A sale that came after it was undone",
    "died": "In a till that was killed",
}
BECAME = {
    "done": "done once",
    "replayed": "told again",
    "found": "found booked",
    "reversed": "reversed",
    "nothing_to_reverse": "nothing to undo",
    "blocked": "never came, barred",
    "refused": "refused",
}


def injected(facts: Facts) -> str:
    """The faults of the plan, and how each ended."""
    met: dict[str, Counter[str]] = {fate: Counter() for fate in FATES}
    for op in facts.ops:
        if op.fate in met:
            met[op.fate][op.became] += 1
    rows = [
        (FATES[fate], number(became.total()), _endings(became))
        for fate, became in met.items()
        if became
    ]
    sent_again = sum(op.sent > 1 for op in facts.ops)
    replayed = sum(op.replayed for op in facts.ops)
    note = (
        f"{number(sum(op.drops for op in facts.ops))} lines were cut, {number(sent_again)} "
        f"requests sent more than once, {number(replayed)} answers given again, "
        f"{number(sum(op.contradicted for op in facts.ops))} answered differently the second time. "
        f"Killed: {text(', '.join(facts.deaths)) or 'nobody'}."
    )
    heads = ("What went wrong", "Number", "What became of it")
    return section("faults", "Faults, and their ends", table(heads, rows, "ends"), note)


def _endings(became: Counter[str]) -> str:
    return "<br/>".join(f"{number(count)} {BECAME[end]}" for end, count in became.most_common())


def refusals(facts: Facts) -> str:
    """Why the service said no, in its own words."""
    counts = Counter(reason for op in facts.ops for reason in op.codes)
    most = max(counts.values(), default=1)
    rows = [
        (_reason(reason, facts), number(count), bar(0, count / most, "two"))
        for reason, count in counts.most_common()
    ]
    note = "An answer can carry several reasons. In the words of <code>GET /v1/error-codes</code>."
    return section(
        "refusals", "Refused, and why", table(("", "Number", ""), rows, "numbers bars"), note
    )


def _reason(reason: str, facts: Facts) -> str:
    english, other = facts.meanings.get(reason, ("", ""))
    return (
        f'<span id="refused-{text(reason)}">{code(reason)}</span>'
        f"<small>{text(english)}</small><small>{chinese(other)}</small>"
    )


def checked(facts: Facts) -> str:
    """The checker's invariants."""
    broken = Counter(breach.split(" ")[0] for breach in facts.breaches)
    rows = [
        (name, text(says), "holds" if not broken[name] else f"<b>{broken[name]} breaches</b>")
        for name, says in facts.checks.items()
    ]
    note = (
        f"<span id='verified'>{number(facts.operations)}</span> operations in the ledger; "
        f"<span id='planned'>{number(facts.planned)}</span> visits planned, "
        f"<span id='begun'>{number(facts.begun)}</span> took place."
    )
    return section("invariants", "Invariants checked", table(("", "", ""), rows, "told"), note)
