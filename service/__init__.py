"""Kafang, the back office of merchants that issue stored-value cards."""
