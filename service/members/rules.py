"""What a member may have."""

# How many cards may be a member's: so many are shown at once, whole.
CARDS_MAX = 50
