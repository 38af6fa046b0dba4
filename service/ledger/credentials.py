"""Who calls: what a request shows, as a credential good enough to let it in."""

from msgspec.structs import replace

from service.kernel import tokens
from service.kernel.auth import Credential
from service.ledger.terms import Terms


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
        expires_at=min(claims.expires_at, issuer.expires_at or claims.expires_at),
        member_id=claims.member_id,
        token_generation=claims.generation,
    )
