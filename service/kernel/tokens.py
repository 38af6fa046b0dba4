"""API keys as text: `kfk_test_` + tenant (26) + secret (32 characters, 160 bits) + checksum (6).

A leaked key is recognisable by its prefix; a mistyped one is refused by its checksum without a
query; the tenant is inside, so row-level security holds from the first query. Only the SHA-256 of
the whole key is stored: enough for a secret above 112 bits (ASVS 6.5.2). Decisions, "Tenant and
scope"; THREAT-T18.
"""

import hashlib
import os
import zlib

from msgspec import Struct

from service.kernel.ids import base32

_HEADS = ("kfk_test_", "kfk_live_")
_LENGTH = 9 + 26 + 32 + 6


class Token(Struct, frozen=True):
    """A well-formed key: its tenant and the hash that is looked up; not yet proof of anything."""

    merchant_id: str
    secret_hash: bytes


def new_token(merchant_id: str, mode: str) -> str:
    """A new key for a tenant; show it once, store only `parse(key).secret_hash`."""
    head = (
        f"kfk_{mode}_{merchant_id.removeprefix('mer_')}{base32(int.from_bytes(os.urandom(20)), 16)}"
    )
    return head + _checksum(head)


def parse(text: str) -> Token | None:
    """The token, or None when form or checksum is wrong."""
    if len(text) != _LENGTH or not text.isascii() or not text.startswith(_HEADS):
        return None
    if _checksum(text[:-6]) != text[-6:]:
        return None
    return Token("mer_" + text[9:35], hashlib.sha256(text.encode("ascii")).digest())


def _checksum(head: str) -> str:
    return base32(zlib.crc32(head.encode("ascii")), 3)
