"""A chain's eighteen months in a minute.

Tills and a mini-program as processes of their own, over HTTP; then the books.
"""
