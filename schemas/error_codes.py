"""Every code an answer can carry, for people and for the tables of whoever integrates."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.problems import Retry


class Text(Struct):
    """The same in English and in Chinese."""

    en: Annotated[str, Meta(description="English.")]
    zh: Annotated[str, Meta(description="Chinese, simplified.")]


class ErrorCode(Struct):
    """A code of a problem: what it means, how to mend it and whether sending again helps."""

    code: Annotated[str, Meta(description="Stable; the one to switch on.")]
    status: Annotated[int, Meta(ge=400, le=599, description="The HTTP status it comes with.")]
    meaning: Text
    mend: Text
    retry: Annotated[Retry, Meta(description="Whether to send again, and under which key.")]
    operations: Annotated[list[str], Meta(description="The operation ids that can answer it.")]


class ReasonCode(Struct):
    """A code inside `reasons`: what stands in the way and how to mend it."""

    code: Annotated[str, Meta(description="Stable; several can come at once.")]
    meaning: Text


class ErrorCodeList(Struct):
    """All of them, in the order of their codes."""

    data: list[ErrorCode]
    reasons: list[ReasonCode]
