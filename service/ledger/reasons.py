"""Every code a decision of the ledger can refuse with: status, meaning, how to mend it.

Refusals (409) are recorded under their key and sticky. The others are never stored.
"""

from service.kernel.problems import define, define_reason

CARD_NOT_FOUND = define(
    "card_not_found",
    404,
    "There is no such card",
    "Check the number with the customer. A card that isn't activated yet is answered the same way.",
    "new_key",
    is_told=True,
)
OPERATION_REFUSED = define(
    "operation_refused",
    409,
    "The card does not allow this now",
    "See reasons; a new attempt needs a new key.",
    "new_key",
)
REDEMPTION_REFUSED = define(
    "redemption_refused",
    409,
    "The redemption is refused",
    "See reasons; a new attempt needs a new key.",
    "new_key",
)
REFUND_REFUSED = define(
    "refund_refused",
    409,
    "The refund is refused",
    "See reasons; a new attempt needs a new key.",
    "new_key",
)
REVERSAL_REFUSED = define(
    "reversal_refused",
    409,
    "The reversal is refused",
    "See reasons; a new attempt needs a new key.",
    "new_key",
)
DUPLICATE_REQUEST_NO = define(
    "duplicate_request_no",
    409,
    "This request number was already used at the store",
    "The redemption named in reasons has it. "
    "If this is another sale, use a new request number and a new key.",
    "new_key",
)
KEY_REUSED = define(
    "idempotency_key_reused",
    422,
    "The Idempotency-Key was used for another request",
    "This request did nothing; the first one with this key may have. To learn its outcome send it "
    "again as it was. A new request needs a new key.",
    "new_key",
    is_told=True,
)
KEY_REVERSED = define(
    "reversed_before_arrival",
    409,
    "This key was reversed before its request arrived",
    "Nothing happened and nothing will under this key. A new attempt needs a new key.",
    "new_key",
)
REQUEST_IN_PROGRESS = define(
    "request_in_progress",
    409,
    "A request with this key is still being worked on",
    "Wait for Retry-After, then send the same request with the same key.",
    "same_key",
)
STORE_NOT_ALLOWED = define(
    "store_not_allowed",
    403,
    "The key acts for another store",
    "Use the key of that store, or the merchant's key.",
    "same_key",
)
UNPROCESSABLE = define(
    "contradiction",
    422,
    "The request contradicts itself or names what isn't there",
    "Mend what reasons name.",
    "new_key",
)
MERCHANT_SUSPENDED = define(
    "merchant_suspended",
    403,
    "The merchant is suspended",
    "Ask the platform's support.",
    "same_key",
)


# Reasons inside a refusal. Several can come at once.
CARD_NOT_ACTIVE = define_reason(
    "card_not_active", "The card has not been activated. Activate it first."
)
CARD_FROZEN = define_reason("card_frozen", "The card is frozen. Unfreeze it first.")
CARD_EXPIRED = define_reason(
    "card_expired",
    "The card has expired; its balance is kept. It must be reactivated.",
)
TRANSITION_NOT_ALLOWED = define_reason(
    "transition_not_allowed",
    "The card's state does not allow this; `allowed` lists the moves it has.",
)
CURRENCY_MISMATCH = define_reason("currency_mismatch", "The card is in another currency.")
INSUFFICIENT_BALANCE = define_reason(
    "insufficient_balance",
    "The balance is too small; missing_minor is what is short.",
)
MAX_BALANCE = define_reason(
    "max_balance_exceeded",
    "The balance would pass the template's maximum; missing_minor is the excess.",
)
STORE_EXCLUDED = define_reason("store_not_in_scope", "The card is not redeemed at this store.")
STORE_CLOSED = define_reason("store_closed", "The store is closed.")
REQUEST_NO_TAKEN = define_reason(
    "request_no_taken",
    "The redemption in existing_id carries this request number.",
)
PRICE_MOVED = define_reason("price_moved", "The payable is not what was expected. Quote again.")
QUOTE_INVALID = define_reason(
    "quote_token_invalid",
    "The quote token is not for this card, store, amount and basket.",
)
QUOTE_EXPIRED = define_reason("quote_token_expired", "The quote token is too old. Quote again.")
REDEMPTION_CLOSED = define_reason(
    "redemption_closed",
    "The redemption is voided or wholly refunded: nothing is left.",
)
REFUND_TOO_MUCH = define_reason(
    "refund_exceeds_left",
    "More than what is left of the redemption; missing_minor is the excess.",
)
LINE_UNKNOWN = define_reason("line_unknown", "The redemption has no such line.")
LINE_TOO_MUCH = define_reason("line_refund_exceeds_left", "More than what is left of the line.")
VOID_AFTER_REFUND = define_reason(
    "void_after_refund", "Part was refunded already. Refund the rest instead."
)
VOID_WINDOW_CLOSED = define_reason(
    "void_window_closed", "The business date is over. Refund instead."
)
VALUE_SPENT = define_reason(
    "value_already_spent",
    "What the top-up credited was spent or has lapsed in part; missing_minor is gone.",
)
NOT_REVERSIBLE = define_reason(
    "not_reversible", "An operation of this kind is not undone by a reversal."
)
OTHER_CLIENT = define_reason(
    "other_clients_key",
    "The key belongs to another client; that needs the scope reversals:any.",
)
CARDS_EXHAUSTED = define_reason("issue_limit_reached", "The template's max_cards have been issued.")
STORE_UNKNOWN = define_reason("store_unknown", "The merchant has no such store.")
STORE_REQUIRED = define_reason("store_required", "A merchant's key must name the store.")
STORE_MISMATCH = define_reason("store_mismatch", "The key is bound to another store.")
