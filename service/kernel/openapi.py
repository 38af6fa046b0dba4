def document(*a, **k): return {}
