"""Keys that wrap keys. They are outside every database; who lost them all lost what is personal.

The first of them wraps, all of them unwrap: another one is put in front, the keys are wrapped
again, then the old one is taken out (decision 0025).
"""

import re
from hashlib import blake2b

from msgspec import Struct

from service.kernel import sealing

_FORM = re.compile("[0-9a-f]{64}")


class KekMissingError(RuntimeError):
    """A key was wrapped by one that isn't here; the message names it."""


class Keks(Struct, frozen=True):
    """By their ids; the first is the one that wraps. `repr` shows none of them."""

    by_id: dict[str, bytes]

    def __repr__(self) -> str:
        """Leave the keys out of logs."""
        return f"Keks({', '.join(self.by_id)})"

    @property
    def current(self) -> str:
        """The id of the one that wraps."""
        return next(iter(self.by_id))

    def wrap(self, key: bytes, *place: str) -> bytes:
        """A key for its place, wrapped by the current one."""
        return sealing.seal(self.by_id[self.current], key, self.current, *place)

    def unwrap(self, kek_id: str, wrapped: bytes, *place: str) -> bytes:
        """The key of that place.

        Raises KekMissingError, and ValueError when it isn't what was wrapped for that place.
        """
        kek = self.by_id.get(kek_id)
        if kek is None:
            raise KekMissingError(f"the key-encryption key {kek_id} is missing")
        return sealing.unseal(kek, wrapped, kek_id, *place)


def parse(text: str) -> Keks:
    """Keys of 64 hexadecimal characters, between commas or line ends. Raises ValueError.

    A key's id comes from the key: nobody has to name it, and nobody can name it wrongly.
    """
    found = [part for part in re.split(r"[\s,]+", text) if part]
    if not found or not all(_FORM.fullmatch(part) for part in found):
        raise ValueError("must be keys of 64 hexadecimal characters each, the current one first")
    keys = [bytes.fromhex(part) for part in found]
    return Keks({blake2b(b"kek", key=key, digest_size=6).hexdigest(): key for key in keys})
