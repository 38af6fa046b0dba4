"""Named queries: `SQL["cards.get_card"]` is the block `-- name: get_card` of sql/queries/cards.sql.

The text reaches the server as written, with native `$1` parameters (design section 5).
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

_NAME = re.compile(r"^--[ \t]*name:(.*)$", re.MULTILINE)
_COMMENTS = re.compile(r"(?:\s*--[^\n]*)*\s*")
_TRAILING_COMMENTS = re.compile(r"(?:\n\s*(?:--[^\n]*)?)+\Z")


class QueryFileError(ValueError):
    """A query file that can't be read one way only; the message names file and query."""


def load(folder: Traversable) -> dict[str, str]:
    """Read every `<noun>.sql` of `folder` into `{noun.query_name: text}`.

    Raises QueryFileError for a name given twice, a malformed name, a block without a statement and
    SQL before the first name.
    """
    queries: dict[str, str] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        for name, text in _blocks(file):
            if name in queries:
                raise QueryFileError(f"{file.name}: {name} is defined twice")
            queries[name] = text
    return queries


def _blocks(file: Traversable) -> Iterator[tuple[str, str]]:
    head, *rest = _NAME.split(file.read_text("utf-8"))
    if not rest or not _COMMENTS.fullmatch(head):
        raise QueryFileError(f"{file.name}: must begin with a line '-- name: query_name'")
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        # What follows the last statement is the comment of the next block.
        text = _TRAILING_COMMENTS.sub("", body).strip().rstrip(";").rstrip()
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name.strip()):
            raise QueryFileError(f"{file.name}: {name.strip()!r} is no snake_case query name")
        if _COMMENTS.fullmatch(text):
            raise QueryFileError(f"{file.name}: query {name.strip()} is empty")
        yield f"{file.name.removesuffix('.sql')}.{name.strip()}", text


SQL: Mapping[str, str] = load(files("sql") / "queries")
