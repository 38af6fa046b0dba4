"""At which stores a card is accepted (CAP-D11)."""

MODES = ("all", "include", "exclude")


def allowed(store_id: str, mode: str, ids: frozenset[str]) -> bool:
    """Whether a store takes the card: every one, only those in `ids`, or all but those in `ids`.

    Raises ValueError for an unknown mode.
    """
    if mode == "all":
        return True
    if mode == "include":
        return store_id in ids
    if mode == "exclude":
        return store_id not in ids
    raise ValueError(f"unknown store rule {mode!r}; one of {', '.join(MODES)}")
