"""Every threat has a control and a test that names it, or says what isn't there to be aimed at."""

from tests.catalogue import security


def test_the_page_is_up_to_date() -> None:
    assert security.PAGE.read_text("utf-8") == security.page()


def test_every_threat_is_answered() -> None:
    shown, known = security.tests(), security.threats()
    assert list(known) == [f"T{number}" for number in range(1, 31)]
    assert set(shown) <= set(known)
    for name, row in known.items():
        assert row["threat"], name
        assert ("control" in row) != ("absent" in row), name
        assert (name in shown) == ("control" in row), name
