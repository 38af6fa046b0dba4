"""A line to another host is checked, or said to be plain: silence is neither."""

import pytest

from service.kernel.dsn import is_open, is_url
from service.settings import SettingsError, load

FAR = "postgresql://kafang:hush@db.internal:5432/kafang"


@pytest.mark.parametrize(
    ("url", "open_"),
    [
        (FAR, True),
        (f"{FAR}?sslmode=verify-full&sslrootcert=/etc/ca.pem", False),
        (f"{FAR}?sslmode=disable", False),
        *((f"{FAR}?sslmode={less}", True) for less in ("require", "prefer", "allow", "verify-ca")),
        (f"{FAR}?application_name=sslmode=disable", True),
        ("postgresql://u:sslmode=disable@10.0.0.7/kafang", True),
        ("postgresql://u@127.0.0.1,10.0.0.7/kafang", True),
        ("postgresql://u@127.0.0.1/kafang?host=10.0.0.7", True),
        ("postgresql://u@[2001:db8::1]:5432/kafang", True),
        ("postgresql://u@localhost.evil.example/kafang", True),
        ("postgresql://u@127.0.0.1.evil.example/kafang", True),
        ("postgresql://u@10.0.0.7?sslmode=disable", False),
        ("postgresql://u@127.0.0.1:5433/kafang", False),
        ("postgresql://u@localhost/kafang", False),
        ("postgres://u@[::1]:5432/kafang", False),
        ("postgresql:///kafang", False),
        ("postgresql:///kafang?host=/run/postgresql", False),
        ("postgresql://u@%2Frun%2Fpostgresql/kafang", False),
    ],
)
def test_what_is_open(url: str, open_: bool) -> None:
    assert is_url(url)
    assert is_open(url) == open_


@pytest.mark.parametrize("name", ["DATABASE_URL", "KAFANG_MIGRATION_URL", "KAFANG_KEY_STORE"])
def test_none_is_had_by_silence(name: str) -> None:
    """Negative control: without the look at it the driver takes what it gets."""
    with pytest.raises(SettingsError, match=f"{name}: a line to another host") as refused:
        load({name: FAR})
    assert "hush" not in str(refused.value)
    load({name: FAR, "PGSSLMODE": "verify-full"})
    load({name: f"{FAR}?sslmode=disable"})
