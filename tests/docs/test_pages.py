"""The documentation in the product: whole, linked, and nothing of it from elsewhere."""

import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from service.docs import pages
from service.kernel import problems
from tests.conftest import ClientOf

# swagger-ui-dist 5.35.0, as its package has it (docs/decisions/0014).
SHA256 = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}


class Page(HTMLParser):
    """What a page loads, links to, and can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("src", "href"):
                self.loads.append(value or "")


async def texts(client_of: ClientOf) -> dict[str, str]:
    """Every page and asset by its path."""
    found = {}
    async with client_of() as client:
        for path in pages.PATHS:
            answer = await client.get(path)
            assert answer.status == 200, path
            found[path] = answer.body.decode("utf-8")
    return found


async def test_CAP_G2_every_link_leads_somewhere(client_of: ClientOf) -> None:
    found = await texts(client_of)
    known = {*found, "/openapi.json", "/v1/error-codes"}
    for path, text in found.items():
        if "/assets/" in path:
            continue
        for link in Page(text).links:
            target, _, anchor = link.partition("#")
            whole = target if target.startswith("/") else f"/docs/{target}"
            assert whole in known, f"{path} links to {link}"
            assert not anchor or anchor in Page(found[whole]).ids, f"{path} links to {link}"


async def test_CAP_G2_a_page_loads_only_what_kafang_serves(client_of: ClientOf) -> None:
    found = await texts(client_of)
    assets = {path for path in found if "/assets/" in path}
    shown = [Page(text) for path, text in found.items() if path not in assets]
    assert {load for page in shown for load in page.loads} - {"data:,"} == assets
    for name in ("docs.css", "docs.js"):
        assert not re.search(r"//\w", found[f"/docs/assets/{name}"].replace("// ", "")), name


async def test_a_page_runs_nothing_from_elsewhere_and_is_framed_by_nobody(
    client_of: ClientOf,
) -> None:
    async with client_of() as client:
        for path in pages.PATHS:
            answer = await client.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff"
            if answer.headers["content-type"].startswith("text/html"):
                policy = dict(
                    part.strip().split(" ", 1)
                    for part in answer.headers["content-security-policy"].split(";")
                )
                assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
                assert policy["script-src"] == policy["connect-src"] == "'self'"
                assert answer.headers["referrer-policy"] == "no-referrer"
                assert not re.search(rb"<script>|\son\w+=", answer.body), "nothing inline"


async def test_CAP_G2_a_problem_names_the_place_that_explains_it(client_of: ClientOf) -> None:
    async with client_of() as client:
        problem = (await client.get("/v1/cards/crd_0")).json()
        page, _, anchor = problem["type"].partition("#")
        explained = Page((await client.get(page)).body.decode("utf-8"))
    assert anchor == problem["code"] == "unauthenticated"
    assert set(problems.CODES) | set(problems.REASONS) <= explained.ids


@pytest.mark.parametrize("name", SHA256)
def test_what_others_wrote_is_as_they_published_it(name: str) -> None:
    body = files("service.docs").joinpath("assets", name).read_bytes()
    assert hashlib.sha256(body).hexdigest() == SHA256[name]
    assert name in pages.ASSETS
