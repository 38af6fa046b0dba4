"""Second factors, devices, and how long who failed to sign in waits."""

import hmac
import os
import re
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from service.kernel.address import place_of
from service.kernel.ids import base32

# Of one e-mail address: tries from one place that never signed in with it, and from all such
# places together. A device that did has tries of its own, so that strangers can't use them up.
PLACE_TRIES, STRANGERS_TRIES = 5, 100
WAIT_MAX_S = 900.0
STEP_S = 30
RECOVERY_CODES = 10
_DEVICE = re.compile(r"kfd_([0-9a-v]{26})([0-9a-v]{52})")


def totp(secret: bytes) -> TOTP:
    """RFC 6238 as authenticators know it: six digits, SHA-1, thirty seconds."""
    return TOTP(secret, 6, SHA1(), STEP_S, enforce_key_length=False)  # noqa: S303


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """The step whose code this is, of those around now; None: it is none of them."""
    digits = re.sub(r"[ -]", "", code).encode("ascii")
    current = int(now.timestamp()) // STEP_S
    for step in (current, current - 1, current + 1):
        if hmac.compare_digest(totp(secret).generate(step * STEP_S), digits):
            return step
    return None


def new_recovery_code() -> str:
    """128 random bits, to be written down."""
    text = base32(int.from_bytes(os.urandom(16)), 13)
    return "-".join(text[place : place + 5] for place in range(0, 26, 5))


def recovery_hash(merchant_id: str, user_id: str, code: str) -> bytes:
    """What stands for a recovery code in the database."""
    plain = re.sub(r"[ -]", "", code).lower().encode("ascii")
    return hmac.digest(f"{merchant_id} {user_id}".encode("ascii"), plain, "sha256")


def new_device_name() -> str:
    """What tells a device from all others: 128 random bits."""
    return base32(int.from_bytes(os.urandom(16)), 13)


def device_token(key: bytes, merchant_id: str, email_index: bytes, name: str) -> str:
    """What a device shows of itself, once it has signed in with an address."""
    return f"kfd_{name}{_signature(key, merchant_id, email_index, name)}"


def subjects(
    key: bytes, merchant_id: str, email_index: bytes, device_token: str | None, address: str | None
) -> list[tuple[bytes, int]]:
    """Whose tries a try counts among, each with how many there are before one waits."""
    device = device_of(key, merchant_id, email_index, device_token)
    if device is not None:
        return [(_subject(key, email_index, "device", device), PLACE_TRIES)]
    return [
        (_subject(key, email_index, "place", place_of(address)), PLACE_TRIES),
        (_subject(key, email_index, "strangers", ""), STRANGERS_TRIES),
    ]


def own_subjects(key: bytes, user_id: str) -> list[tuple[bytes, int]]:
    """Whose tries those of somebody who is signed in count among."""
    return [(hmac.digest(key, f"own {user_id}".encode("ascii"), "sha256"), PLACE_TRIES)]


def device_of(key: bytes, merchant_id: str, email_index: bytes, token: str | None) -> str | None:
    """The device's name, if it signed in with this address before."""
    found = _DEVICE.fullmatch(token or "")
    if found is None:
        return None
    name, signature = found.groups()
    right = _signature(key, merchant_id, email_index, name)
    return name if hmac.compare_digest(signature, right) else None


def _signature(key: bytes, merchant_id: str, email_index: bytes, name: str) -> str:
    message = f"{merchant_id} {name} ".encode("ascii") + email_index
    return base32(int.from_bytes(hmac.digest(key, message, "sha256")), 26)


def _subject(key: bytes, email_index: bytes, kind: str, name: str) -> bytes:
    return hmac.digest(key, f"{kind} {name} ".encode() + email_index, "sha256")
