"""A record on paper: the page and the file say what the JSON says, and nothing breaks out of it."""

import re
from html.parser import HTMLParser
from io import BytesIO
from typing import Any

import pytest
from msgspec.structs import replace
from pypdf import PdfReader

from service.kernel.money import written
from service.records import html, pdf
from service.records.sheet import sheet, shown
from service.records.words import words
from tests.api import shop
from tests.demo.test_page import OUTSIDE
from tests.harness.client import Client
from tests.harness.tenant import Tenant
from tests.records import life

Record = dict[str, Any]


@pytest.fixture(name="record")
async def _record(office: Client, pos: Client, tenant: Tenant) -> Record:
    """The record of a card with every kind of movement."""
    return await life.fetched(pos, await life.whole(office, pos, tenant))


class Shown(HTMLParser):
    """What a page shows, and the elements it is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]
        if tag == "br":
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        self.text += data


def pages(file: bytes) -> list[str]:
    """The text of each page, as one copies it."""
    return [page.extract_text() for page in PdfReader(BytesIO(file)).pages]


def said(record: Record) -> list[str]:
    """What must be read on paper, of every part of a record."""
    found = [record["card"]["masked_number"], record["card"]["id"], *record["contract"]["terms"]]
    for line in (*record["movements"], *record["refusals"]):
        found += [line["operation_id"], line["digest"][:16], line["business_date"]]
        found += [line["request_no"]] if line["request_no"] else []
    for line in record["movements"]:
        found += [written(line[name], "CNY") for name in ("principal", "bonus")]
    return [*found, record["proof"]["head"], record["proof"]["movements"]["closing"]]


def missing(text: str, record: Record) -> list[str]:
    """What a text lacks of it; white space and breaks of lines don't count."""
    plain = re.sub(r"\s", "", text)
    return [one for one in said(record) if re.sub(r"\s", "", one) not in plain]


async def test_the_page_says_it_all(record: Record) -> None:
    text = html.page(sheet(life.typed(record))).decode("utf-8")
    page = Shown(text)
    assert missing(page.text, record) == []
    assert missing(page.text.replace(record["proof"]["head"], ""), record)  # and its lack shows
    assert not OUTSIDE.search(re.sub(r"<title>.*?</title>", "", text))
    assert page.tags <= {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "dl", "div",
        "dt", "dd", "section", "ol", "li", "table", "thead", "tbody", "tfoot", "tr", "th", "td",
        "br",
    }  # fmt: skip
    assert '<html lang="zh-CN">' in text


async def test_names_stay_names(record: Record) -> None:
    """Markup, quotes, and letters that run from the right."""
    record["merchant"]["name"] = f"{life.MARKUP}{life.STRANGE}"
    page = Shown(html.page(sheet(life.typed(record))).decode("utf-8"))
    assert life.MARKUP in page.text
    assert "script" not in page.tags
    assert "\u202e" not in page.text
    assert "\u2068" in page.text
    assert "[U+202E]evil" in page.text
    file = "".join(pages(pdf.file(sheet(life.typed(record)))))
    assert life.MARKUP in file
    assert "[U+202E]evil" in file


@pytest.mark.parametrize(
    ("text", "as_shown"),
    [
        ("王", "王"),
        ("a\u202eb", "a[U+202E]b"),
        ("a\nb\t", "a[U+000A]b[U+0009]"),
        ("\u2066x\u2069", "[U+2066]x[U+2069]"),
        ("שם", "\u2068שם\u2069"),
        ("a\u2069שם", "\u2068a[U+2069]שם\u2069"),
    ],
)
def test_what_is_not_seen_is_spelt(text: str, as_shown: str) -> None:
    assert shown(text) == as_shown


async def test_the_page_is_sent_with_a_policy_that_fits(record: Record, pos: Client) -> None:
    path = f"/v1/cards/{record['card']['id']}/record?format=html"
    answer = await pos.get(path)
    policy = answer.headers["content-security-policy"]
    assert policy == html.policy()
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert answer.headers["content-disposition"].endswith('.html"')


async def test_the_file_says_it_all_and_is_read_by_others(record: Record) -> None:
    file = pdf.file(sheet(life.typed(record)))
    reader = PdfReader(BytesIO(file))
    texts = pages(file)
    assert missing("".join(texts), record) == []
    assert missing("".join(texts).replace(record["movements"][3]["operation_id"], ""), record)
    assert any("余额" in text for text in texts)
    assert str(reader.root_object["/Lang"]) == "zh-CN"
    assert reader.metadata is not None
    assert reader.metadata.title == f"储值卡记录 青禾美发 · {record['card']['masked_number']}"
    assert reader.metadata.creation_date is not None
    assert reader.metadata.creation_date.isoformat() == "2050-01-01T00:00:00+00:00"
    for number, text in enumerate(texts, 1):
        assert f"第 {number} 页，共 {len(texts)} 页" in text


async def test_table_heads_stand_on_every_page(record: Record) -> None:
    told = words()["zh-CN"]
    record["movements"] *= 12
    texts = pages(pdf.file(sheet(life.typed(record))))
    of_movements = [text for text in texts if "rdm_" in text]
    assert len(of_movements) > 5
    for text in of_movements[:-2]:
        assert told["balance_principal"] in text
        assert told["details"] in text


async def test_a_basket_longer_than_a_page_goes_on(record: Record) -> None:
    sale = next(line for line in record["movements"] if line["lines"])
    sale["lines"] = [{**sale["lines"][0], "sku": f"SKU{number:03}"} for number in range(200)]
    texts = pages(pdf.file(sheet(life.typed(record))))
    whole = "".join(texts)
    assert all(f"SKU{number:03}" in whole for number in range(200))
    assert len([text for text in texts if "SKU" in text]) >= 4


async def test_the_same_record_gives_the_same_bytes(record: Record) -> None:
    given = life.typed(record)
    assert pdf.file(sheet(given)) == pdf.file(sheet(given))
    later = replace(given, as_of=given.as_of.replace(year=2051))
    assert pdf.file(sheet(given)) != pdf.file(sheet(later))


async def test_what_the_font_lacks_is_seen_and_named(record: Record) -> None:
    text = "".join(pages(pdf.file(sheet(life.typed(record)))))
    assert "〓" in text
    for sign in "😀𰻞ש":
        assert f"U+{ord(sign):04X}" in text


async def test_both_languages_print(record: Record, pos: Client) -> None:
    for form in ("html", "pdf"):
        path = f"/v1/cards/{record['card']['id']}/record?language=en&format={form}"
        answer = await pos.get(path)
        body = answer.body
        text = "".join(pages(body)) if form == "pdf" else body.decode("utf-8")
        assert "What the balance is made of" in text
        assert "余额" not in text


def test_every_word_is_in_both_languages() -> None:
    told = words()
    assert told["zh-CN"].keys() == told["en"].keys()
    for key, text in told["zh-CN"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", told["en"][key])), (
            key
        )


async def test_a_refused_amount_is_in_the_currency_it_was_asked_in(
    office: Client, pos: Client, tenant: Tenant
) -> None:
    """Also in one that there is not: as it was sent."""
    card = await shop.issue(office, tenant)
    for currency in ("USD", "RMB"):
        amount = {"value": 100, "currency": currency}
        answer = await shop.redeem(pos, card, 100, amount=amount)
        assert answer.status == 409, answer.body
    record = await life.fetched(pos, card)
    assert [line["currency"] for line in record["refusals"]] == ["USD", "RMB"]
    written_page = Shown(html.page(sheet(life.typed(record))).decode("utf-8")).text
    assert "US$1.00" in written_page
    assert "100 RMB" in written_page
