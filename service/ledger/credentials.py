"""Who calls: what a request shows, as a credential good enough to let it in."""

from msgspec.structs import replace

from service.kernel import tokens
from service.kernel.auth import Credential
from service.ledger.terms import Terms


def recognised(terms: Terms, member_key: bytes, text: str) -> Credential | None:
    """As `authenticate`, without asking the database: only what this worker remembers."""
    if text.startswith("kfm_"):
        claims = tokens.parse_member_token(text, member_key)
        if claims is None:
            return None
        issuer = terms.known_credential(claims.merchant_id, claims.secret_hash)
        return _for_member(claims, issuer) if issuer else None
    token = tokens.parse(text)
    return terms.known_credential(token.merchant_id, token.secret_hash) if token else None


async def authenticate(terms: Terms, member_key: bytes, text: str) -> Credential | None:
    """The credential behind an API key or a member's token, as last read; None: it is neither.

    It is checked again with what the request reads or does.
    """
    if text.startswith("kfm_"):
        claims = tokens.parse_member_token(text, member_key)
        if claims is None:
            return None
        issuer = await terms.credential(claims.merchant_id, claims.secret_hash)
        return _for_member(claims, issuer) if issuer else None
    token = tokens.parse(text)
    return await terms.credential(token.merchant_id, token.secret_hash) if token else None


async def renew(terms: Terms, known: Credential) -> Credential:
    """An API key as it is now; as it was known, when it is no more: what it does then tells."""
    tenant = await terms.load(known.merchant_id, [known.secret_hash])
    return tenant.credentials.get(known.secret_hash, known) if tenant else known


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
