"""Many tenants with a watermark in every string; no answer may hold another one's."""
