"""The secret: its shape, how it is kept, and the one secret a database goes with."""

from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import asyncpg
import pytest

from service.kernel import embedded, keks
from service.kernel.migrations import migrate
from service.settings import (
    Settings,
    SettingsError,
    check_keys,
    check_secret,
    keyring_of,
    load,
    with_kept_secrets,
)

SECRET = "5f" * 32


@pytest.fixture(name="app_dsn")
async def _app_dsn() -> AsyncIterator[str]:
    with embedded.temporary() as server:
        await migrate(server.owner_dsn)
        yield server.app_dsn


@pytest.fixture(name="app")
async def _app(app_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(app_dsn)
    yield connection
    await connection.close()


@pytest.mark.parametrize("wrong", ["5f" * 31, "5f" * 33, "5F" * 32, SECRET + "\n", "zz" * 32])
def test_a_secret_is_exactly_64_hexadecimal_characters(wrong: str) -> None:
    assert load({"KAFANG_SECRET_KEY": SECRET}).secret() == bytes.fromhex(SECRET)
    with pytest.raises(SettingsError, match="KAFANG_SECRET_KEY") as refused:
        load({"KAFANG_SECRET_KEY": wrong})
    assert wrong not in str(refused.value)


def test_a_secret_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "data"))
    first = with_kept_secrets(settings)
    assert with_kept_secrets(settings) == first
    assert len(first.secret()) == 32
    made = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "data").iterdir()}
    assert made == {"secret_key": 0o600, "keks": 0o600}
    assert first.key_encryption_keys().current


@pytest.mark.parametrize("missing", ["KAFANG_SECRET_KEY", "KAFANG_KEKS", "KAFANG_KEY_STORE"])
def test_nothing_is_made_for_a_database_elsewhere(tmp_path: Path, missing: str) -> None:
    """Each host would make another one."""
    given = {
        "DATABASE_URL": "postgresql://u@localhost/k", "KAFANG_DATA_DIR": str(tmp_path / "data"),
        "KAFANG_SECRET_KEY": SECRET, "KAFANG_KEKS": SECRET, "KAFANG_KEY_STORE": "file",
    }  # fmt: skip
    assert len(with_kept_secrets(load(given)).key_encryption_keys().by_id) == 1
    with pytest.raises(SettingsError, match=missing):
        with_kept_secrets(load({**given, missing: ""}))
    assert not (tmp_path / "data").exists()


def test_keks_come_from_one_place_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "keks"
    file.write_text(f"{SECRET}\n{'6e' * 32}\n")
    both = load({"KAFANG_KEK_FILE": str(file)})
    assert len(both.key_encryption_keys().by_id) == 2
    with pytest.raises(SettingsError, match="give one of them"):
        with_kept_secrets(load({"KAFANG_KEK_FILE": str(file), "KAFANG_KEKS": SECRET}))
    file.write_text("canary")
    with pytest.raises(SettingsError, match="KAFANG_KEK_FILE: must be keys") as refused:
        both.key_encryption_keys()
    assert "canary" not in str(refused.value)
    with pytest.raises(SettingsError, match=r"KAFANG_KEK_FILE: .*No such file"):
        load({"KAFANG_KEK_FILE": str(tmp_path / "none")}).key_encryption_keys()
    with pytest.raises(SettingsError, match="KAFANG_KEY_STORE: not a URL"):
        load({"KAFANG_KEY_STORE": "canary"})


async def test_a_database_goes_with_the_store_of_keys_it_was_first_used_with(
    app: asyncpg.Connection, app_dsn: str, tmp_path: Path
) -> None:
    await check_secret(app, Settings(secret_key=SECRET))
    for name, is_own in (("one", True), ("other", False), ("one", True)):
        settings = Settings(keks=SECRET, data_dir=str(tmp_path / name))
        with nullcontext() if is_own else pytest.raises(SettingsError, match="KAFANG_KEY_STORE"):
            await check_keys(settings, app_dsn)
        if is_own:
            keyring = keyring_of(settings, app_dsn)
            await keyring.make("mer_1", "mbr_1")
            await keyring.close()
    other = Settings(keks="6e" * 32, data_dir=str(tmp_path / "one"))
    with pytest.raises(SettingsError, match=f"KAFANG_KEKS.*{keks.parse(SECRET).current}"):
        await check_keys(other, app_dsn)


@pytest.mark.parametrize("text", ["", "5f5f", "\x00" * 64, SECRET + SECRET])
def test_a_damaged_file_is_refused_by_name_and_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret_key"
    file.write_text(text, "ascii")
    with pytest.raises(SettingsError, match=str(file)):
        with_kept_secrets(Settings(data_dir=str(tmp_path)))
    assert file.read_text("ascii") == text


async def test_a_database_goes_with_the_secret_it_was_first_used_with(
    app: asyncpg.Connection,
) -> None:
    for _ in range(2):
        await check_secret(app, Settings(secret_key=SECRET))
    with pytest.raises(SettingsError, match="KAFANG_SECRET_KEY is not the one"):
        await check_secret(app, Settings(secret_key="6e" * 32))
    await check_secret(app, Settings(secret_key=SECRET))
    kept = await app.fetch("select * from installation")
    assert len(kept) == 1
    assert bytes.fromhex(SECRET) not in bytes(kept[0]["secret_check"])
