"""The report of a day as one HTML file that needs nothing else: for a browser, a phone, paper."""

from importlib.resources import files

from tests.demo.books import Facts, faults
from tests.demo.page import day, money, trouble
from tests.demo.page.marks import chinese, text


def html(facts: Facts) -> str:
    """The whole document; well-formed as XML too, which its test reads it as."""
    style = files("tests.demo.page").joinpath("page.css").read_text("utf-8")
    sections = [
        day.figures(facts),
        day.chapters(facts),
        '<div class="pair">' + day.redemptions(facts) + day.latency(facts) + "</div>",
        money.roll_forward(facts),
        money.settlements(facts),
        '<div class="pair">' + trouble.injected(facts) + trouble.refusals(facts) + "</div>",
        '<div class="pair">' + money.goods(facts) + day.speed(facts) + "</div>",
        trouble.checked(facts),
    ]
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<title>星河美发, {facts.opens_at:%Y-%m-%d}</title>
<style>{style}</style></head>
<body>
<header><h1>{chinese("星河美发")}</h1>
<p>One day of a chain with {len(facts.stores)} stores and a mini-program, {facts.opens_at:%d %B %Y}
on the merchant’s clock, played in {facts.seconds:.0f} s. Seed {facts.seed}, plan
<code>{facts.plan}</code>, all amounts in yuan.</p></header>
<main>{_verdict(facts)}
{chr(10).join(sections)}
</main>
<footer><p>Made by <code>make demo</code>. Everything here was read over the API, from what the
clients were told, or from the checker.</p></footer>
</body></html>
"""


def _verdict(facts: Facts) -> str:
    wrong = faults(facts)
    if not wrong:
        return '<p class="verdict good" id="verdict">The books balance, to the cent.</p>'
    rows = "".join(f"<li>{text(fault)}</li>" for fault in wrong)
    return f'<div class="verdict bad" id="verdict">The books do not balance.<ul>{rows}</ul></div>'
