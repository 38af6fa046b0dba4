"""Signed requests: whoever finds an API key in a log can't use it, nor send again what was sent.

    Kafang-Signature: t=1773900000,n=9f1c2b7e4a60d853,v1=5f0d…

`v1` is the HMAC-SHA-256, in hex, of five lines: the method, the path with its query as it is sent,
`t` (Unix seconds), `n` (a nonce) and the body, each ended by a line break. The secret is shown with
the key; here it is made anew from the service's own and the key's id, and stored nowhere.
THREAT-T18.
"""

import hmac
import re
import time
from hashlib import blake2b
from typing import NamedTuple

import asyncpg

from service.kernel import database
from service.kernel.auth import Credential
from service.kernel.ids import base32
from service.kernel.problems import (
    UNAUTHENTICATED,
    ProblemError,
    ReasonCode,
    because,
    define_reason,
)
from service.kernel.sql import SQL

HEADER = b"kafang-signature"
CLOCKS_APART_MAX_S = 300
_FORM = re.compile(rb"t=([0-9]{1,12}),n=([A-Za-z0-9_-]{16,64}),v1=([0-9a-f]{64})")

SIGNATURE_MISSING = define_reason(
    "signature_missing",
    "This key's requests are signed: send Kafang-Signature: t=<Unix seconds>,n=<nonce>,v1=<hex>.",
)
SIGNATURE_MALFORMED = define_reason(
    "signature_malformed",
    "Once, and as t=1773900000,n=9f1c2b7e4a60d853,v1=<64 hex digits in lower case>; a nonce has 16 "
    "to 64 letters, digits, - or _.",
)
SIGNATURE_STALE = define_reason(
    "signature_stale",
    "Its time is more than five minutes from ours. Set the clock, and sign again.",
)
SIGNATURE_WRONG = define_reason(
    "signature_wrong",
    "Sign the method, the path with its query, t, n and the body exactly as they are sent, each "
    "ended by a line break, with the signing_secret of this key.",
)
NONCE_USED = define_reason(
    "nonce_used",
    "Each nonce is good once. Sign with another; an idempotency key stays what it was.",
)


class Sent(NamedTuple):
    """What of a request is signed, and its signature; `target` is the path with its query."""

    method: str
    target: bytes
    body: bytes
    signature: bytes | None


class Signatures:
    """What requests of signed keys are held against."""

    def __init__(self, key: bytes, pool: database.Pool) -> None:
        self._key = key
        self._pool = pool

    def secret_of(self, merchant_id: str, api_key_id: str) -> str:
        """What a key signs with."""
        message = f"{merchant_id} {api_key_id}".encode("ascii")
        return f"kfh_{base32(int.from_bytes(hmac.digest(self._key, message, 'sha256')), 26)}"

    async def require(self, credential: Credential, sent: Sent) -> None:
        """Raise 401 unless the request was signed with this key, just now and once."""
        assert credential.api_key_id is not None
        if sent.signature is None:
            raise _refused(SIGNATURE_MISSING)
        found = _FORM.fullmatch(sent.signature)
        if found is None:
            raise _refused(SIGNATURE_MALFORMED)
        at, nonce, shown = found.groups()
        if abs(time.time() - int(at)) > CLOCKS_APART_MAX_S:
            raise _refused(SIGNATURE_STALE)
        secret = self.secret_of(credential.merchant_id, credential.api_key_id)
        if not hmac.compare_digest(signed(secret, sent, at, nonce).encode("ascii"), shown):
            raise _refused(SIGNATURE_WRONG)
        if not await self._use(credential, nonce):
            raise _refused(NONCE_USED)

    async def _use(self, credential: Credential, nonce: bytes) -> bool:
        """Whether the nonce wasn't used. What a crash forgets of that is the last second's."""
        whose = str(credential.api_key_id).encode("ascii")
        digest = blake2b(nonce, key=whose, digest_size=16).digest()
        kept_s = 2.2 * CLOCKS_APART_MAX_S
        try:
            async with database.tenant(self._pool, credential.merchant_id) as connection:
                await connection.execute(SQL["signing.asynchronous"])
                used = await connection.fetchval(
                    SQL["signing.use_nonce"], credential.merchant_id, digest, kept_s
                )
        except asyncpg.UniqueViolationError:
            return False
        return used is not None


def signed(secret: str, sent: Sent, at: bytes, nonce: bytes) -> str:
    """The `v1` of a request."""
    lines = (sent.method.encode("ascii"), sent.target, at, nonce, sent.body, b"")
    return hmac.digest(secret.encode("ascii"), b"\n".join(lines), "sha256").hex()


def _refused(reason: ReasonCode) -> ProblemError:
    headers = {"WWW-Authenticate": "Bearer"}
    return ProblemError(UNAUTHENTICATED, reasons=[because(reason)], headers=headers)
