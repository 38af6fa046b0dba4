"""The feed of events, the chain that seals it, and its anchors."""
