"""A chain's day in a minute, told in chapters.

Tills and a mini-program as processes of their own, over HTTP; then the books.
"""
