"""Secrets may come from a vault: a command fetches them, and nothing of them is quoted."""

import sys
from pathlib import Path

import pytest

from service.kernel import secret_command
from service.settings import SettingsError, load

KEK = "ab" * 32
URL = "postgresql://kafang_login:hush@db.internal/kafang"


def command_of(tmp_path: Path, said: str, code: int = 0) -> str:
    """A command that says this."""
    script = tmp_path / "secrets of kafang.py"
    script.write_text(f"import sys\nprint({said!r}, end='')\nsys.exit({code})\n", "utf-8")
    return f"{sys.executable} '{script}'"


def test_what_a_vault_keeps(tmp_path: Path) -> None:
    said = f"# from the vault\n\nDATABASE_URL={URL}?sslmode=verify-full\nKAFANG_KEKS={KEK}\n"
    settings = load({"KAFANG_SECRETS_COMMAND": command_of(tmp_path, said), "KAFANG_WORKERS": "1"})
    assert settings.database_url == f"{URL}?sslmode=verify-full"
    assert (settings.keks, settings.workers) == (KEK, 1)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("hush", "line 1 isn't NAME=value"),
        (f"KAFANG_KEKS={KEK}\nexport X=hush", "line 2 isn't NAME=value"),
        ("KAFANG_PORT=1", "line 1 names no secret"),
        ("HUSH=1", "line 1 names no secret"),
        (f"KAFANG_KEKS={KEK}\nKAFANG_KEKS={KEK}", "line 2 names no secret, or one twice"),
        ("KAFANG_SECRET_KEY=hush", "KAFANG_SECRET_KEY: "),
        ("DATABASE_URL=hush", "DATABASE_URL: not a URL"),
    ],
)
def test_what_is_wrong_is_told_without_quoting_it(tmp_path: Path, said: str, problem: str) -> None:
    """Negative control: with the line in the message `hush` is found in it."""
    with pytest.raises(SettingsError, match=problem) as refused:
        load({"KAFANG_SECRETS_COMMAND": command_of(tmp_path, said)})
    assert "hush" not in str(refused.value).lower()
    assert KEK not in str(refused.value)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("/nowhere/kafang-secrets", "it can't be run"),
        ("   ", "it can't be run"),
        ("'unfinished", "it isn't a command"),
        (f"{sys.executable} -c 'import sys; sys.stdout.buffer.write(bytes([255]))'", "UTF-8"),
        (f"{sys.executable} -c 'raise SystemExit(7)'", "it ended with 7"),
    ],
)
def test_a_command_that_fails_starts_nothing(command: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=f"KAFANG_SECRETS_COMMAND: .*{problem}"):
        load({"KAFANG_SECRETS_COMMAND": command})


def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_command, "TIMEOUT_S", 0.2)
    with pytest.raises(SettingsError, match=r"it took more than 0\.2 s"):
        load({"KAFANG_SECRETS_COMMAND": f"{sys.executable} -c 'import time; time.sleep(60)'"})


def test_a_secret_is_given_or_fetched(tmp_path: Path) -> None:
    command = command_of(tmp_path, f"KAFANG_KEKS={KEK}")
    with pytest.raises(SettingsError, match=r"given, and fetched .*KAFANG_KEKS"):
        load({"KAFANG_SECRETS_COMMAND": command, "KAFANG_KEKS": KEK})
