"""What callers show: API keys, people's sessions, and the tokens of merchants' members.

An API key is `kfk_test_` + tenant (26) + secret (32 characters, 160 bits) + checksum (6). A leaked
key is recognisable by its prefix; a mistyped one is refused by its checksum without a query; the
tenant is inside, so row-level security holds from the first query. Only the SHA-256 of the whole
key is stored: enough for a secret above 112 bits (ASVS 6.5.2). Decisions, "Tenant and scope";
THREAT-T18. A person's session (`kfs_`) and what sets a password once (`kft_`) have the same form.

A member's token is `kfm_test_` + tenant (26) + member (26) + generation (8) + expiry (10) + the
issuing key's hash (52) + signature (52). It is stored nowhere: the signature proves all before it,
and the rest is looked at with what is read (`ledger/reading.py`). Decision 0017.
"""

import hashlib
import hmac
import os
import re
import zlib
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from msgspec import Struct

from service.kernel.ids import base32

Kind = Literal["kfk", "kfs", "kft"]
_HEADS = tuple(f"{kind}_{mode}_" for kind in get_args(Kind) for mode in ("test", "live"))
_LENGTH = 9 + 26 + 32 + 6
_MEMBER_TOKEN = re.compile(
    r"(kfm_(?:test|live)_([0-9a-v]{26})([0-9a-v]{26})([0-9a-v]{8})([0-9a-v]{10})([0-9a-v]{52}))"
    r"([0-9a-v]{52})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Token(Struct, frozen=True):
    """What is well-formed: its tenant and the hash that is looked up; not yet proof of anything."""

    kind: str
    merchant_id: str
    secret_hash: bytes


class MemberClaims(Struct, frozen=True):
    """What a member's token says, proved by its signature; not yet that it is still good.

    `secret_hash` is that of the API key it was issued with; `expires_at` is in whole milliseconds.
    """

    merchant_id: str
    member_id: str
    generation: int
    expires_at: datetime
    secret_hash: bytes


def new_token(merchant_id: str, mode: str, kind: Kind = "kfk") -> str:
    """A new key for a tenant; show it once, store only `hash_of(key)`."""
    tenant, secret = merchant_id.removeprefix("mer_"), base32(int.from_bytes(os.urandom(20)), 16)
    head = f"{kind}_{mode}_{tenant}{secret}"
    return head + _checksum(head)


def hash_of(text: str) -> bytes:
    """What stands for a token in the database."""
    return hashlib.sha256(text.encode("ascii")).digest()


def parse(text: str) -> Token | None:
    """The token, or None when form or checksum is wrong."""
    if len(text) != _LENGTH or not text.isascii() or not text.startswith(_HEADS):
        return None
    if _checksum(text[:-6]) != text[-6:]:
        return None
    return Token(text[:3], "mer_" + text[9:35], hash_of(text))


def sign_member_token(claims: MemberClaims, mode: str, key: bytes) -> str:
    """The token that says this; `key` is the service's for this purpose."""
    head = (
        f"kfm_{mode}_{claims.merchant_id.removeprefix('mer_')}"
        f"{claims.member_id.removeprefix('mbr_')}{base32(claims.generation, 4)}"
        f"{base32((claims.expires_at - _EPOCH) // _MILLISECOND, 5)}"
        f"{base32(int.from_bytes(claims.secret_hash), 26)}"
    )
    return head + _signature(head, key)


def parse_member_token(text: str, key: bytes) -> MemberClaims | None:
    """What a token says, or None when the form or the signature is wrong."""
    found = _MEMBER_TOKEN.fullmatch(text)
    if found is None:
        return None
    head, merchant, member, generation, expires_ms, secret_hash, signature = found.groups()
    if not hmac.compare_digest(signature, _signature(head, key)):
        return None
    return MemberClaims(
        "mer_" + merchant,
        "mbr_" + member,
        int(generation, 32),
        _EPOCH + int(expires_ms, 32) * _MILLISECOND,
        int(secret_hash, 32).to_bytes(32),
    )


def _checksum(head: str) -> str:
    return base32(zlib.crc32(head.encode("ascii")), 3)


def _signature(head: str, key: bytes) -> str:
    return base32(int.from_bytes(hmac.digest(key, head.encode("ascii"), "sha256")), 26)
