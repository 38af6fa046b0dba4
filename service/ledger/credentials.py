"""Who calls: what a request shows, as a credential good enough to let it in."""

from msgspec.structs import replace

from service.kernel import tokens
from service.kernel.auth import Credential
from service.ledger.terms import Terms


async def authenticate(terms: Terms, member_key: bytes, text: str) -> Credential | None:
    """The credential behind an API key or a member's token, as last read; None: it is neither.

    It is checked again with what the request reads or does.
    """
    if text.startswith("kfm_"):
        return await _of_member(terms, tokens.parse_member_token(text, member_key))
    token = tokens.parse(text)
    return await terms.credential(token.merchant_id, token.secret_hash) if token else None


async def renew(terms: Terms, known: Credential) -> Credential:
    """An API key as it is now; as it was known, when it is no more: what it does then tells."""
    tenant = await terms.load(known.merchant_id, [known.secret_hash])
    return tenant.credentials.get(known.secret_hash, known) if tenant else known


async def _of_member(terms: Terms, claims: tokens.MemberClaims | None) -> Credential | None:
    """As good as the API key it was issued with, but for one member and without a scope."""
    issuer = await terms.credential(claims.merchant_id, claims.secret_hash) if claims else None
    if claims is None or issuer is None:
        return None
    return replace(
        issuer,
        scopes=frozenset(),
        store_id=None,
        expires_at=min(claims.expires_at, issuer.expires_at or claims.expires_at),
        member_id=claims.member_id,
        token_generation=claims.generation,
    )
