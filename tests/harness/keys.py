"""Keys of people, as tests have them."""

from service.kernel import keks
from service.kernel.key_store import KeyStore
from service.kernel.keyring import Keyring


async def any_store(key_store_id: bytes) -> bytes:
    """A ledger that goes with whatever store there is."""
    return key_store_id


def keyring_on(store: KeyStore, kek: str) -> Keyring:
    """All keys that are in a store."""
    return Keyring(keks.parse(kek), store, any_store)
