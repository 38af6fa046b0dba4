"""Stores as rows."""

from datetime import time

from msgspec import Struct


class StoreCreated(Struct):
    """A new store."""

    merchant_id: str
    store_id: str
    name: str
    legal_entity: str
    time_zone: str
    day_cutoff: time
