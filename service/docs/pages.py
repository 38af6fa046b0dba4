"""The pages of the documentation, made once at start: guides, error codes, the contract to try out.

They load nothing from anywhere else: a till's network often reaches Kafang alone.
"""

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template

from markdown_it import MarkdownIt

from schemas.error_codes import ErrorCode, ErrorCodeList, Text
from service.kernel.routes import Answer

CONTRACT = "/docs/openapi.json"
# Where the guides, as they are written, find the service.
HOST = "127.0.0.1"
GUIDES_ADDRESS = f"{HOST}:8321"
HTML = "text/html; charset=utf-8"
# Keys are typed in here: nothing from elsewhere runs, nobody frames the page or learns of it. The
# interactive one writes styles as it goes, and has its pictures in its style sheet.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
# The name of a file in guides/ -> what the navigation calls it.
GUIDES = {
    "pos": "Quick start: till",
    "mini-program": "Quick start: mini-program",
    "erp": "Quick start: ERP",
    "people": "Quick start: people",
    "record": "A card's record",
    "idempotency": "Retries and time-outs",
    "money": "Money",
    "versioning": "Versions",
}
ASSETS = {
    "docs.css": "text/css; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
PATHS = [
    "/",
    "/docs",
    CONTRACT,
    "/docs/errors",
    *(f"/docs/{name}" for name in GUIDES),
    *(f"/docs/assets/{name}" for name in ASSETS),
]
LAYOUT = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title · Kafang</title>
<link rel="icon" href="data:,">
$styles
<nav><strong>Kafang 卡坊</strong>$links</nav>
<main class="$kind">$body</main>
$scripts
</html>
""")
STYLE = '<link rel="stylesheet" href="/docs/assets/docs.css">'
# What a page needs besides its text.
PLAIN = {"styles": STYLE, "kind": "", "scripts": ""}
INTERACTIVE = {
    "styles": '<link rel="stylesheet" href="/docs/assets/swagger-ui.css">' + STYLE,
    "kind": "wide",
    "scripts": '<script src="/docs/assets/swagger-ui-bundle.js"></script>'
    '<script src="/docs/assets/docs.js"></script>',
}


def pages(codes: ErrorCodeList, contract: str, port: int) -> dict[str, Answer]:
    """Every page and asset, by its path; the contract is the one to try out.

    The guides' commands are shown with the `port` that this service listens on.
    """
    folder = files("service.docs")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    interactive = _page("", "API", '<div id="swagger-ui"></div>', INTERACTIVE)
    found = {
        "/": interactive,
        "/docs": interactive,
        CONTRACT: Answer(200, contract.encode("utf-8")),
        "/docs/errors": _page("errors", "Error codes", _errors(codes)),
    }
    for name, title in GUIDES.items():
        text = folder.joinpath("guides", f"{name}.md").read_text("utf-8")
        text = text.replace(GUIDES_ADDRESS, f"{HOST}:{port}")
        found[f"/docs/{name}"] = _page(name, title, markdown.render(text))
    for name, media_type in ASSETS.items():
        body = folder.joinpath("assets", name).read_bytes()
        found[f"/docs/assets/{name}"] = Answer(200, body, media_type=media_type)
    return found


def _page(name: str, title: str, body: str, needs: Mapping[str, str] = PLAIN) -> Answer:
    text = LAYOUT.substitute(needs, title=escape(title), links=_links(name), body=body)
    return Answer(200, text.encode("utf-8"), media_type=HTML, headers=HEADERS)


def _links(current: str) -> str:
    names = {"": "API"} | GUIDES | {"errors": "Error codes"}
    return "".join(_link(name, title, name == current) for name, title in names.items())


def _link(name: str, title: str, here: bool) -> str:
    path = f"/docs/{name}".rstrip("/")
    mark = ' aria-current="page"' if here else ""
    return f'<a href="{path}"{mark}>{escape(title)}</a>'


def _errors(codes: ErrorCodeList) -> str:
    problems = "".join(_problem(code) for code in codes.data)
    reasons = "".join(
        f'<tr id="{reason.code}"><td><code>{reason.code}</code></td>'
        f"<td>{_both(reason.meaning)}</td></tr>"
        for reason in codes.reasons
    )
    return (
        "<h1>Error codes</h1><p>Switch on <code>code</code>, and on <code>outcome</code> and "
        "<code>retry</code> where you don't know it. The same list for machines: "
        '<a href="/v1/error-codes">/v1/error-codes</a>.</p>'
        "<table><thead><tr><th>Code</th><th>Status</th><th>Meaning</th><th>How to mend it</th>"
        f"<th>Retry</th></tr></thead><tbody>{problems}</tbody></table>"
        "<h2>Reasons</h2><p>They come inside a problem, all that apply at once.</p>"
        "<table><thead><tr><th>Code</th><th>Meaning and how to mend it</th></tr></thead>"
        f"<tbody>{reasons}</tbody></table>"
    )


def _problem(code: ErrorCode) -> str:
    return (
        f'<tr id="{code.code}"><td><code>{code.code}</code></td><td>{code.status}</td>'
        f"<td>{_both(code.meaning)}</td><td>{_both(code.mend)}</td>"
        f"<td><code>{code.retry}</code></td></tr>"
    )


def _both(text: Text) -> str:
    return f'{escape(text.en)}<br><span lang="zh">{escape(text.zh)}</span>'
