"""The keys of merchants and of their people: made, had, destroyed (decision 0025).

A key-encryption key wraps a merchant's key, that one wraps the keys of the merchant's people, and
a person's key seals what is personal of them. A merchant's keys are numbered; a person has one
under each number that was current when something of theirs was sealed.
"""

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from service.kernel import sealing
from service.kernel.keks import KekMissingError, Keks
from service.kernel.key_store import KeyStore, KeyStoreError, Statement, WrappedKey

KNOWN_MAX = 4_096
WAITING_MAX = 3
_BYTES = 32


class WrongStoreError(KeyStoreError):
    """The store is another ledger's, or a new one in the place of one that was lost."""


class PersonKey(NamedTuple):
    """One person's key under one number."""

    merchant_id: str
    person_id: str
    key_no: int
    key: bytes

    def __repr__(self) -> str:
        """Leave the key out of logs."""
        return f"PersonKey({self.person_id}, {self.key_no})"

    def seal(self, field: str, text: str) -> bytes:
        """A field of the person's; it opens as nothing else and as nobody else's."""
        return sealing.seal(self.key, text.encode("utf-8"), *self._place(field))

    def unseal(self, field: str, sealed: bytes) -> str:
        """The field. Raises ValueError when it was sealed as something else."""
        return sealing.unseal(self.key, sealed, *self._place(field)).decode("utf-8")

    def commitment(self, field: str, text: str) -> str:
        """What shows later that a field was this, to whoever has the key and knows the text."""
        told = "\0".join((*self._place(field), text)).encode("utf-8")
        own_key = hmac.digest(self.key, b"commitment", "sha256")
        return f"{self.key_no}:{hmac.digest(own_key, told, 'sha256').hex()}"

    def _place(self, field: str) -> tuple[str, ...]:
        return self.merchant_id, self.person_id, field, str(self.key_no)


# Tells the ledger's database which store of keys is used, and answers which one it goes with.
Claim = Callable[[bytes], Awaitable[bytes | None]]


class Keyring:
    """All keys that are above a field. Its methods raise KeyStoreError and KekMissingError.

    Before the first key is used, `claim` must say that this is the ledger's store: with another one
    everybody would get new keys, and what is sealed would be lost to them.
    """

    def __init__(self, keks: Keks, store: KeyStore, claim: Claim) -> None:
        self.keks = keks
        # Few wait for the store at once: each holds a connection of the ledger's meanwhile.
        self.turns = asyncio.Semaphore(WAITING_MAX)
        self._store = store
        self._claim = claim
        self._is_ours = False
        # By what they are wrapped as: a number may mean another key in another store.
        self._known: dict[bytes, bytes] = {}

    async def close(self) -> None:
        """Let go of the store, and of the keys."""
        self._known.clear()
        await self._store.close()

    async def check(self) -> None:
        """Make the store ready; refuse another ledger's, and one whose keys can't be unwrapped.

        Raises KekMissingError too.
        """
        rows = await self._fetch("wrapped_by")
        if missing := sorted({row[2] for row in rows} - set(self.keks.by_id)):
            raise KekMissingError(f"the key-encryption keys {', '.join(missing)} are missing")

    async def store_id(self) -> bytes:
        """Which store this is."""
        ((*_, own),) = await self._fetch("of_owner", "", "store")
        return bytes(own)

    async def _fetch(self, query: str, *values: Any) -> list[Any]:
        await self._require_ours()
        return await self._store.fetch(query, *values)

    async def _write(self, *statements: Statement) -> None:
        await self._require_ours()
        await self._store.write(*statements)

    async def _require_ours(self) -> None:
        if self._is_ours:
            return
        await self._store.prepare()
        await self._store.write(("put", [("", "store", 1, "", os.urandom(_BYTES))]))
        ((*_, own),) = await self._store.fetch("of_owner", "", "store")
        if await self._claim(own) != own:
            raise WrongStoreError("this isn't the store of keys that the database goes with")
        self._is_ours = True

    async def make(self, merchant_id: str, person_id: str) -> PersonKey:
        """A key for somebody under the merchant's current number, or the one they have there."""
        key_no, above = await self._current(merchant_id)
        wrapped = sealing.seal(above, os.urandom(_BYTES), merchant_id, person_id, str(key_no))
        await self._write(("put", [(merchant_id, person_id, key_no, "", wrapped)]))
        made = await self.of(merchant_id, person_id, key_no)
        if made is None:
            raise ValueError(f"the key of {person_id} was destroyed as it was made")
        return made

    async def of(self, merchant_id: str, person_id: str, key_no: int) -> PersonKey | None:
        """Somebody's key of a number; None when it was destroyed."""
        for row in await self._fetch("of_owner", merchant_id, person_id):
            found = WrappedKey(*row)
            if found.key_no == key_no:
                return self._opened(merchant_id, found, await self._above(merchant_id, key_no))
        return None

    async def between(
        self, merchant_id: str, first_id: str, last_id: str, key_no: int
    ) -> dict[str, PersonKey]:
        """The keys of a number of everybody from one to another, by their ids; those that open."""
        rows = await self._fetch("between", merchant_id, first_id, last_id, key_no)
        found: dict[str, PersonKey] = {}
        with suppress(ValueError):  # the number is over
            above = await self._above(merchant_id, key_no)
            for row in rows:
                with suppress(ValueError):  # it is another's, or was changed
                    found[row[0]] = self._opened(merchant_id, WrappedKey(*row), above)
        return found

    async def make_many(
        self, merchant_id: str, person_ids: list[str], key_no: int
    ) -> dict[str, PersonKey]:
        """Keys of a number for several people, in the order of their ids; who has one keeps it."""
        above = await self._above(merchant_id, key_no)
        rows = [
            (merchant_id, each, key_no, "", sealing.seal(above, os.urandom(_BYTES), *place))
            for each in person_ids
            for place in [(merchant_id, each, str(key_no))]
        ]
        await self._write(("put", rows))
        return await self.between(merchant_id, person_ids[0], person_ids[-1], key_no)

    async def drop(self, merchant_id: str, person_id: str) -> None:
        """The keys of somebody who didn't become known after all."""
        await self._write(("destroy_owner", [(merchant_id, person_id)]))

    async def remember(self, merchant_id: str, person_id: str) -> None:
        """Somebody asked to be forgotten, and is kept meanwhile."""
        await self._write(("remember", [(merchant_id, person_id, 0)]))

    async def forget(self, merchant_id: str, person_id: str) -> None:
        """All keys of somebody are destroyed, for ever: what was sealed opens nowhere any more.

        That they are forgotten is remembered: a ledger that is put back doesn't know.
        """
        await self._write(
            ("destroy_owner", [(merchant_id, person_id)]),
            ("remember", [(merchant_id, person_id, 1)]),
        )

    async def forgotten(self, merchant_id: str, after: str) -> list[tuple[str, bool]]:
        """Some of who asked to be forgotten, after an id, each with whether they are."""
        rows = await self._fetch("forgotten", merchant_id, after)
        return [(row[0], bool(row[1])) for row in rows]

    async def destroy_older(self, merchant_id: str, key_no: int) -> None:
        """All keys of a merchant and its people below a number, for ever."""
        while rows := await self._fetch("older", merchant_id, key_no):
            await self._write(("destroy_one", [(merchant_id, *row) for row in rows]))

    async def begin(self, merchant_id: str, used_no: int) -> int:
        """A new number: from now on what is personal is sealed under it. Returns it.

        `used_no` is the highest that something in the ledger is sealed under: a store that was put
        back may not know of it.
        """
        key_no, _ = await self._current(merchant_id)
        await self._put(merchant_id, max(key_no, used_no) + 1)
        return max(key_no, used_no) + 1

    async def rewrap(self) -> int:
        """Wrap by the current key-encryption key what others wrapped. Returns how many keys."""
        rows = await self._fetch("wrapped_by")
        stale = [row for row in rows if row[2] != self.keks.current]
        for merchant_id, key_no, _ in stale:
            key = await self._above(merchant_id, key_no)
            wrapped = self.keks.wrap(key, merchant_id, str(key_no))
            row = (merchant_id, merchant_id, key_no, self.keks.current, wrapped)
            await self._write(("rewrap", [row]))
        return len(stale)

    async def _current(self, merchant_id: str) -> tuple[int, bytes]:
        """The merchant's newest number with its key, made on first use."""
        rows = await self._fetch("of_owner", merchant_id, merchant_id)
        if not rows:
            await self._put(merchant_id, 1)
            rows = await self._fetch("of_owner", merchant_id, merchant_id)
        newest = WrappedKey(*rows[0])
        return newest.key_no, self._unwrapped(newest)

    async def _put(self, merchant_id: str, key_no: int) -> None:
        wrapped = self.keks.wrap(os.urandom(_BYTES), merchant_id, str(key_no))
        row = (merchant_id, merchant_id, key_no, self.keks.current, wrapped)
        await self._write(("put", [row]))

    async def _above(self, merchant_id: str, key_no: int) -> bytes:
        """The merchant's key of a number. Raises ValueError when it was destroyed."""
        for row in await self._fetch("of_owner", merchant_id, merchant_id):
            found = WrappedKey(*row)
            if found.key_no == key_no:
                return self._unwrapped(found)
        raise ValueError(f"the merchant {merchant_id} has no key {key_no} any more")

    def _unwrapped(self, found: WrappedKey) -> bytes:
        """A merchant's key."""
        key = self._known.get(found.wrapped)
        if key is None:
            place = (found.owner_id, str(found.key_no))
            key = self.keks.unwrap(found.wrapped_by, found.wrapped, *place)
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[found.wrapped] = key
        return key

    @staticmethod
    def _opened(merchant_id: str, found: WrappedKey, above: bytes) -> PersonKey:
        place = (merchant_id, found.owner_id, str(found.key_no))
        key = sealing.unseal(above, found.wrapped, *place)
        return PersonKey(merchant_id, found.owner_id, found.key_no, key)
