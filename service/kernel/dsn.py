"""Where a PostgreSQL is, as a URL says it, and whether the line to it is protected."""

import re
from urllib.parse import parse_qsl, unquote

from service.kernel.address import is_near

_HOST = r"(\[[0-9A-Fa-f:.%]+\]|[^][,:/@?#]*)(:[0-9]+)?"
_URL = re.compile(
    rf"postgres(?:ql)?://(?:[^/?#]*@)?(?P<hosts>{_HOST}(?:,{_HOST})*)(?P<rest>[/?].*)?"
)
SAID = ("verify-full", "disable")


def is_url(text: str) -> bool:
    """Whether it is one. What the driver says of one that it can't read quotes the password."""
    return _URL.fullmatch(text) is not None


def is_open(text: str, sslmode: str = "") -> bool:
    """Whether a line to another host is neither checked nor said to be plain.

    `sslmode`: where the URL says none. Less than `verify-full` encrypts for whoever answers.
    """
    found = _URL.fullmatch(text)
    if found is None:
        return False
    said = dict(parse_qsl((found["rest"] or "").partition("?")[2]))
    hosts = [re.sub(r":[0-9]+$", "", unquote(host)) for host in found["hosts"].split(",")]
    hosts = said["host"].split(",") if "host" in said else hosts
    near = all(host.startswith("/") or is_near(host) for host in hosts)
    return not near and said.get("sslmode", sslmode) not in SAID
