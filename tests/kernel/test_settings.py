"""The secret: its shape, how it is kept, and the one secret a database goes with."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from service.kernel import embedded
from service.kernel.migrations import migrate
from service.settings import Settings, SettingsError, check_secret, load, with_kept_secret

SECRET = "5f" * 32


@pytest.fixture(name="app")
async def _app() -> AsyncIterator[asyncpg.Connection]:
    with embedded.temporary() as server:
        await migrate(server.owner_dsn)
        connection = await asyncpg.connect(server.app_dsn)
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
    first = with_kept_secret(settings)
    assert with_kept_secret(settings) == first
    assert len(first.secret()) == 32
    (file,) = (tmp_path / "data").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("secret_key", 0o600)


@pytest.mark.parametrize("text", ["", "5f5f", "\x00" * 64, SECRET + SECRET])
def test_a_damaged_file_is_refused_by_name_and_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret_key"
    file.write_text(text, "ascii")
    with pytest.raises(SettingsError, match=str(file)):
        with_kept_secret(Settings(data_dir=str(tmp_path)))
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
