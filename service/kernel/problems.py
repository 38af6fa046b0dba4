"""Errors as data: each code is defined once, with its status, what it means and how to mend it.

A module that can fail defines its codes with `define` and raises `ProblemError`; routes declare the
codes they can answer, so the contract lists them. RFC 9457; design section 4, promise 7.
"""

from typing import Any

import msgspec
from msgspec import Struct

from schemas.problems import Outcome, Problem, Reason, Retry

MEDIA_TYPE = "application/problem+json"
# What can't be meant as it was sent, and who isn't let in or not so often.
UNREADABLE = frozenset({400, 413, 415})
TOLD_OF = UNREADABLE | {401, 403, 429}


class Code(Struct, frozen=True):
    """A stable error code: HTTP status, title, how to mend it, whether sending again helps.

    `is_told`: a line is written of it, for whoever looks after the system: somebody may have tried
    to get around something.
    """

    code: str
    status: int
    title: str
    mend: str
    retry: Retry
    is_told: bool = False


class ReasonCode(Struct, frozen=True):
    """A stable code of a reason: what is wrong and how to mend it, where nothing more is known."""

    code: str
    mend: str


CODES: dict[str, Code] = {}
REASONS: dict[str, ReasonCode] = {}


def define(
    code: str, status: int, title: str, mend: str, retry: Retry = "no", *, is_told: bool = False
) -> Code:
    """Register a code; a second definition of one code is a mistake and fails at import."""
    if code in CODES:
        raise ValueError(f"error code {code} is defined twice")
    CODES[code] = Code(code, status, title, mend, retry, is_told or status in TOLD_OF)
    return CODES[code]


def define_reason(code: str, mend: str) -> ReasonCode:
    """Register a reason's code; a second definition is a mistake and fails at import."""
    if code in REASONS:
        raise ValueError(f"reason {code} is defined twice")
    REASONS[code] = ReasonCode(code, mend)
    return REASONS[code]


def because(reason: ReasonCode, message: str | None = None, **facts: Any) -> Reason:
    """A reason with its facts, and a message of its own where one can be more exact."""
    return Reason(reason.code, message or reason.mend, **facts)


class ProblemError(Exception):
    """Ends a request with a problem+json answer."""

    def __init__(
        self,
        code: Code,
        detail: str | None = None,
        reasons: list[Reason] | None = None,
        outcome: Outcome = "not_applied",
        headers: dict[str, str] | None = None,
        known: dict[str, str | None] | None = None,
    ) -> None:
        super().__init__(code.code)
        self.code = code
        self.detail = detail or code.mend
        self.reasons = reasons or []
        self.outcome: Outcome = outcome
        self.headers = headers or {}
        # What is known of who asked, for the log alone.
        self.known = known or {}

    def body(self, request_id: str) -> bytes:
        """The answer's bytes."""
        return render(self.code, request_id, self.detail, self.reasons, self.outcome)


def render(
    code: Code,
    request_id: str,
    detail: str,
    reasons: list[Reason],
    outcome: Outcome = "not_applied",
) -> bytes:
    """A problem as JSON bytes."""
    return msgspec.json.encode(
        Problem(
            type=f"/docs/errors#{code.code}",
            title=code.title,
            status=code.status,
            code=code.code,
            detail=detail,
            request_id=request_id,
            outcome=outcome,
            retry=code.retry,
            reasons=reasons,
        )
    )


MALFORMED_JSON = define(
    "malformed_json",
    400,
    "The body is not JSON",
    "Send one JSON document in UTF-8, without NUL or lone surrogates.",
    "new_key",
)
INVALID_REQUEST = define(
    "invalid_request",
    400,
    "The request does not fit its schema",
    "Mend every field named in reasons.",
    "new_key",
)
KEY_REQUIRED = define(
    "idempotency_key_required",
    400,
    "Idempotency-Key is missing",
    "Send an Idempotency-Key header of 8 to 128 printable ASCII characters, "
    "one new key for each intended effect.",
    "new_key",
)
KEY_INVALID = define(
    "idempotency_key_invalid",
    400,
    "Idempotency-Key is not valid",
    "Use 8 to 128 printable ASCII characters.",
    "new_key",
)
UNAUTHENTICATED = define(
    "unauthenticated",
    401,
    "No valid credential",
    "Send Authorization: Bearer with a valid, unexpired API key; a member's app asks its backend "
    "for a new token, a person signs in again.",
    "same_key",
)
FORBIDDEN = define(
    "forbidden",
    403,
    "The credential may not do this",
    "See reasons: the scope that the key lacks, or the permission that the person lacks.",
    "same_key",
)
NOT_FOUND = define("not_found", 404, "There is no such resource", "Check the path and the id.")
METHOD_NOT_ALLOWED = define(
    "method_not_allowed", 405, "This path has no such method", "See the Allow header."
)
PAYLOAD_TOO_LARGE = define("payload_too_large", 413, "The body is too large", "Send at most 1 MiB.")
UNSUPPORTED_MEDIA_TYPE = define(
    "unsupported_media_type",
    415,
    "The body's media type is not supported",
    "Send Content-Type: application/json.",
    "same_key",
)
INTERNAL_ERROR = define(
    "internal_error",
    500,
    "A fault on our side",
    "Send the same request again, with the same key if it had one; quote request_id when you ask "
    "for help.",
    "same_key",
)
OUTCOME_UNKNOWN = define(
    "outcome_unknown",
    503,
    "It is not known whether the operation happened",
    "Send the same request with the same Idempotency-Key again: the answer then is the truth.",
    "same_key",
)
UNAVAILABLE = define(
    "unavailable",
    503,
    "The service can't take the request now",
    "Nothing happened. Send the same key again later.",
    "same_key",
)

OVERLOADED = define(
    "overloaded",
    503,
    "More has come than can be done",
    "Nothing happened. Wait for Retry-After, then send the same request with the same key.",
    "same_key",
)


# Reasons that any route may give.
MISSING_FIELD = define_reason("missing_field", "This field is required.")
UNKNOWN_FIELD = define_reason("unknown_field", "There is no such field.")
INVALID_VALUE = define_reason("invalid_value", "The value does not fit its schema.")
REPEATED_FIELD = define_reason("repeated_field", "Give it once.")
NUL_CHARACTER = define_reason("nul_character", "A NUL character can't be stored.")
SCOPE_MISSING = define_reason("scope_missing", "The key lacks the scope that `allowed` names.")
PERMISSION_MISSING = define_reason(
    "permission_missing",
    "You lack the permission that `allowed` names. Ask whoever gives roles at your merchant.",
)
SECOND_FACTOR_REQUIRED = define_reason(
    "second_factor_required",
    "Your role has this permission for whoever signed in with a second factor. Set one up with "
    "POST /v1/me/totp, then sign in with its code.",
)
PEOPLE_ONLY = define_reason(
    "people_only", "An API key can't: this is for people who signed in with POST /v1/sessions."
)
NETWORK_NOT_ALLOWED = define_reason(
    "network_not_allowed", "The key may not be used from this network address."
)
NOT_FOR_MEMBERS = define_reason(
    "not_for_members", "A member's token only reads what is the member's own. Use an API key."
)
