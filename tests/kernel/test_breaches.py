"""Passwords from breaches are found in a file of any size, and no others. ASVS V6.2.12."""

from hashlib import sha1
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.kernel.breaches import Breaches
from service.kernel.passwords import Passwords
from service.kernel.problems import ProblemError
from service.sessions.operations import require_strong
from service.settings import SettingsError, load

STRONG = "Nine*Herons under 4 bridges"
words = st.text("abcdefgh中", min_size=1, max_size=4)


def digest(password: str) -> str:
    """As the file has it."""
    return sha1(password.encode("utf-8"), usedforsecurity=False).hexdigest().upper()


def write(file: Path, counts: dict[str, int], end: str = "\r\n") -> Path:
    """A file of these, each with how often it was seen."""
    lines = sorted(f"{digest(password)}:{count}" for password, count in counts.items())
    file.write_text("".join(f"{line}{end}" for line in lines), "ascii", newline="")
    return file


@given(
    st.dictionaries(words, st.integers(1, 10**9), min_size=1, max_size=40),
    st.lists(words),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_in_the_file_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, counts: dict[str, int], others: list[str], end: str
) -> None:
    file = write(tmp_path_factory.mktemp("breaches") / "sha1", counts, end)
    breaches = Breaches(str(file))
    assert all(breaches.has(password) for password in counts)
    assert not any(breaches.has(other) for other in set(others) - set(counts))


def test_without_a_last_line_break(tmp_path: Path) -> None:
    file = write(tmp_path / "sha1", {"a": 1, "b": 22})
    file.write_bytes(file.read_bytes().rstrip())
    breaches = Breaches(str(file))
    assert [breaches.has(password) for password in "abc"] == [True, True, False]


@pytest.mark.parametrize("text", ["", "password\n", f"{digest('a').lower()}:1\n", "ABCDEF:1\n"])
def test_another_file_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sha1"
    file.write_text(text)
    for named in (file, tmp_path / "none"):
        with pytest.raises(SettingsError, match=r"KAFANG_BREACHES_FILE: .*(SHA-1|No such)"):
            load({"KAFANG_BREACHES_FILE": str(named)}).breaches()
    assert load({}).breaches() is None


async def test_nobody_may_choose_one(tmp_path: Path) -> None:
    """However strong it looks. Negative control: without the file it may be chosen."""
    listed = load({"KAFANG_BREACHES_FILE": str(write(tmp_path / "sha1", {STRONG: 3}))})
    for breaches, refused in ((listed.breaches(), ["password_breached"]), (None, [])):
        passwords, found = Passwords(breaches=breaches), []
        try:
            await require_strong(passwords, STRONG, [])
        except ProblemError as error:
            found = [reason.code for reason in error.reasons]
        finally:
            passwords.close()
        assert found == refused
