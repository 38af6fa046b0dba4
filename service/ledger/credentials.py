"""Who calls: what a request shows, as a credential good enough to let it in."""

import asyncio
from collections import OrderedDict
from contextlib import suppress

from msgspec.structs import replace

from service.kernel import database, tokens
from service.kernel.auth import Credential
from service.kernel.problems import UNAUTHENTICATED, ProblemError
from service.kernel.sql import SQL
from service.ledger.terms import ENTRIES_MAX, Terms

# How exactly the database knows when a session or an API key was used.
SESSION_NOTE_S, KEY_NOTE_S = 60.0, 3600.0


class Uses:
    """Which credentials this worker saw used, and when.

    A session that nobody uses is over after a while; of an API key people see when it was used
    last.
    """

    def __init__(self, pool: database.Pool, idle_s: float) -> None:
        self._pool = pool
        self._idle_s = idle_s
        self._noted: OrderedDict[bytes, float] = OrderedDict()
        self._writing: set[asyncio.Task[None]] = set()

    async def note(self, credential: Credential) -> None:
        """Note that it is used, unless that was noted just now.

        Raises 401 when nobody used the session for too long, by the database's clock.
        """
        every_s = SESSION_NOTE_S if credential.session_id is not None else KEY_NOTE_S
        now = asyncio.get_running_loop().time()
        if now - self._noted.get(credential.secret_hash, -every_s) < every_s:
            return
        if credential.session_id is not None:
            await self._note_session(credential)
        else:
            writing = asyncio.create_task(self._note_key(credential))
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)
        self._noted[credential.secret_hash] = now
        self._noted.move_to_end(credential.secret_hash)
        if len(self._noted) > ENTRIES_MAX:
            self._noted.popitem(last=False)

    async def close(self) -> None:
        """Leave nothing half-written."""
        await asyncio.gather(*self._writing)

    async def _note_key(self, credential: Credential) -> None:
        """Nobody waits for it, and it is no harm when the database is away just now."""
        merchant_id = credential.merchant_id
        with suppress(*database.LOST, TimeoutError):
            async with database.tenant(self._pool, merchant_id) as connection:
                await connection.execute(
                    SQL["api_keys.note_use"], merchant_id, credential.secret_hash
                )

    async def _note_session(self, credential: Credential) -> None:
        merchant_id = credential.merchant_id
        async with database.tenant(self._pool, merchant_id) as connection:
            used = await connection.fetchval(
                SQL["tenant.use_session"], merchant_id, credential.secret_hash, self._idle_s
            )
        if used is None:
            raise ProblemError(UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})


def recognised(terms: Terms, member_key: bytes, text: str) -> Credential | None:
    """As `authenticate`, without asking the database: only what this worker remembers."""
    shown = _shown(member_key, text)
    return (
        _meant(shown, terms.known_credential(shown.merchant_id, shown.secret_hash))
        if shown
        else None
    )


async def authenticate(terms: Terms, member_key: bytes, text: str) -> Credential | None:
    """The credential behind an API key or a member's token, as last read; None: it is neither.

    It is checked again with what the request reads or does.
    """
    shown = _shown(member_key, text)
    return (
        _meant(shown, await terms.credential(shown.merchant_id, shown.secret_hash))
        if shown
        else None
    )


async def renew(terms: Terms, known: Credential) -> Credential:
    """An API key as it is now; as it was known, when it is no more: what it does then tells."""
    tenant = await terms.load(known.merchant_id, [known.secret_hash])
    return tenant.credentials.get(known.secret_hash, known) if tenant else known


def _shown(member_key: bytes, text: str) -> tokens.Token | tokens.MemberClaims | None:
    """What a text says: which merchant, and which of its API keys; None where it says nothing."""
    if text.startswith("kfm_"):
        return tokens.parse_member_token(text, member_key)
    return tokens.parse(text)


def _meant(shown: tokens.Token | tokens.MemberClaims, key: Credential | None) -> Credential | None:
    """The API key itself, or the member's token that was issued with it."""
    if key is None or isinstance(shown, tokens.Token):
        return key
    return _for_member(shown, key)


def _for_member(claims: tokens.MemberClaims, issuer: Credential) -> Credential:
    """As good as the API key it was issued with, but for one member and without a scope."""
    return replace(
        issuer,
        scopes=frozenset(),
        store_id=None,
        networks=None,
        signed=False,
        expires_at=min(claims.expires_at, issuer.expires_at or claims.expires_at),
        member_id=claims.member_id,
        token_generation=claims.generation,
    )
