"""What makes a record its own proof: every line has a digest over its text and the one before.

So whoever has the JSON reckons the chain again with what every language brings, and a line that was
altered, left out or moved shows. Movements never change, so the digest of the hundredth one is the
same in every record of the card, however long afterwards.
"""

from hashlib import sha256
from typing import Any

import msgspec

from schemas.records import Chain

# Keys sorted, no blanks, UTF-8, integers alone: what RFC 8785 calls canonical.
canonical = msgspec.json.Encoder(order="sorted").encode


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return sha256(data).hexdigest()


def first(card_id: str, chain: str) -> str:
    """The digest before the first line of a card's chain."""
    return digest(f"{card_id}/{chain}".encode("ascii"))


class Chained:
    """Lines as they are sent, each tied to the one before."""

    def __init__(self, opening: str) -> None:
        self.opening = self.closing = opening
        self.lines: list[msgspec.Raw] = []
        self.size = 0

    def add(self, line: Any) -> None:
        """Append a line; its digest is its last field."""
        text = canonical(line)
        self.closing = digest(self.closing.encode("ascii") + text)
        whole = text[:-1] + b',"digest":"' + self.closing.encode("ascii") + b'"}'
        self.lines.append(msgspec.Raw(whole))
        self.size += len(whole)

    @property
    def proof(self) -> Chain:
        """Where the chain begins and ends."""
        return Chain(self.opening, self.closing)
