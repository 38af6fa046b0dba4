"""Price tokens: a redemption that sends one is refused when what it was quoted for has moved.

Stateless: expiry, payable and an HMAC over all that was quoted. Nothing is reserved.
"""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import UTC, datetime, timedelta

import msgspec

from schemas.problems import Reason
from service.kernel.problems import because
from service.ledger.commands import Redeem
from service.ledger.reasons import PRICE_MOVED, QUOTE_EXPIRED, QUOTE_INVALID
from service.ledger.state import Card, View

LIFETIME = timedelta(minutes=15)
_HEAD = struct.Struct(">qq")


def token(view: View, card: Card, intent: Redeem, payable: int) -> tuple[str, datetime]:
    """The token for what was quoted, and when it ends."""
    expires_at = view.now + LIFETIME
    head = _HEAD.pack(int(expires_at.timestamp() * 1000), payable)
    return urlsafe_b64encode(head + _mac(view, card, intent, head)).decode("ascii"), expires_at


def reasons(view: View, card: Card, intent: Redeem, payable: int) -> list[Reason]:
    """Why the redemption's token does not hold: none when it does."""
    try:
        raw = urlsafe_b64decode(intent.quote_token or "")
    except (Base64Error, ValueError):
        raw = b""
    head, mac = raw[: _HEAD.size], raw[_HEAD.size :]
    if len(head) != _HEAD.size or not hmac.compare_digest(mac, _mac(view, card, intent, head)):
        return [because(QUOTE_INVALID)]
    expires_ms, quoted = _HEAD.unpack(head)
    found = []
    if datetime.fromtimestamp(expires_ms / 1000, UTC) <= view.now:
        found.append(because(QUOTE_EXPIRED))
    if quoted != payable:
        found.append(because(PRICE_MOVED))
    return found


def _mac(view: View, card: Card, intent: Redeem, head: bytes) -> bytes:
    store_id = view.store.store_id if view.store else ""
    terms = [card.card_id, store_id, intent.amount, intent.currency, intent.lines]
    return hmac.digest(view.quote_key, head + msgspec.json.encode(terms), "sha256")[:16]
