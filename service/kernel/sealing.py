"""Sealed: what the database keeps and can't read, AES-256-GCM under a key that it doesn't have.

What is sealed is bound to its place: moved to another row or column it doesn't open.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


def seal(key: bytes, plain: bytes, *place: str) -> bytes:
    """Sealed for a place: the tenant, the row and the column."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, _bound(place))


def unseal(key: bytes, sealed: bytes, *place: str) -> bytes:
    """What was sealed. Raises ValueError when it is of another place, or was changed."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(place))
    except InvalidTag:
        raise ValueError("it isn't what was sealed here") from None


def _bound(place: tuple[str, ...]) -> bytes:
    return "\0".join(place).encode("utf-8")
