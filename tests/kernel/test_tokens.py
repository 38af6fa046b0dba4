"""A member's token says what was signed, and nothing when anything of it was changed.

THREAT-T15, THREAT-T18.
"""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.kernel import tokens
from service.kernel.ids import new_id
from service.kernel.tokens import MemberClaims

KEY = b"k" * 32
SECRET_HASH = hashlib.sha256(b"a key").digest()
UNTIL = datetime(2026, 3, 1, 6, 15, 0, 604_000, UTC)
CLAIMS = MemberClaims(new_id("mer"), new_id("mbr"), 1, UNTIL, SECRET_HASH)
TOKEN = tokens.sign_member_token(CLAIMS, "test", KEY)


@settings(database=None, deadline=None)
@given(
    generation=st.integers(1, 2**31 - 1),
    milliseconds=st.integers(0, 10**12),
    secret_hash=st.binary(min_size=32, max_size=32),
    mode=st.sampled_from(["test", "live"]),
)
def test_what_was_signed_is_read(
    generation: int, milliseconds: int, secret_hash: bytes, mode: str
) -> None:
    claims = replace(
        CLAIMS,
        generation=generation,
        expires_at=UNTIL + milliseconds * tokens._MILLISECOND,
        secret_hash=secret_hash,
    )
    token = tokens.sign_member_token(claims, mode, KEY)
    assert tokens.parse_member_token(token, KEY) == claims
    assert token.startswith(f"kfm_{mode}_")
    assert len(token) < 300


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_one_character_changed(place: int) -> None:
    for other in "01v_A=":
        if other != TOKEN[place]:
            changed = TOKEN[:place] + other + TOKEN[place + 1 :]
            assert tokens.parse_member_token(changed, KEY) is None


def test_cut_short_or_longer() -> None:
    for length in range(len(TOKEN)):
        assert tokens.parse_member_token(TOKEN[:length], KEY) is None
    for text in (f"{TOKEN}0", f"{TOKEN}\n", f" {TOKEN}", TOKEN.upper(), TOKEN * 2):
        assert tokens.parse_member_token(text, KEY) is None


def test_of_another_secret() -> None:
    assert tokens.parse_member_token(TOKEN, b"l" * 32) is None
    assert tokens.parse_member_token(TOKEN, b"") is None


@pytest.mark.parametrize(
    "changed",
    [
        {"merchant_id": new_id("mer")},
        {"member_id": new_id("mbr")},
        {"generation": 2},
        {"expires_at": UNTIL + tokens._MILLISECOND},
        {"secret_hash": b"x" * 32},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_one_tokens_claims_under_anothers_signature(changed: dict[str, object]) -> None:
    other = tokens.sign_member_token(replace(CLAIMS, **changed), "test", KEY)
    for cut in (35, 61, 69, 79, 131):
        spliced = other[:cut] + TOKEN[cut:]
        assert spliced in (TOKEN, other) or tokens.parse_member_token(spliced, KEY) is None
    assert other[-52:] != TOKEN[-52:]


def test_an_api_key_is_no_token_and_a_token_no_key() -> None:
    key = tokens.new_token(CLAIMS.merchant_id, "test")
    assert tokens.parse_member_token(key, KEY) is None
    assert tokens.parse(TOKEN) is None
