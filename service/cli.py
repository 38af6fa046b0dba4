"""The command line: run, migrate, verify, and what an operator creates by hand.

`--json` prints JSON.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime, time
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from msgspec.structs import replace

from service import app, runner
from service import upkeep as personal
from service.api_keys import operations as api_keys
from service.events import anchors, bundle
from service.kernel import database, embedded_backup
from service.kernel.embedded_site import EmbeddedError
from service.kernel.keks import KekMissingError
from service.kernel.key_store import KeyStoreError
from service.kernel.migrations import MigrationError, migrate
from service.ledger import invariants
from service.ledger.door import Keys
from service.merchants import operations as merchants
from service.settings import Settings, SettingsError, load, with_kept_secrets
from service.stores import operations as stores
from service.users import operations as users

Command = Callable[[argparse.Namespace, Settings], Any]
Add = Callable[[str, Command, str], argparse.ArgumentParser]


def main() -> None:
    """Parse, do one thing, print it, exit 0; 1 when it failed, 2 when it was called wrongly."""
    arguments = _parser().parse_args()
    try:
        result = arguments.command(arguments, load())
    except (
        SettingsError,
        EmbeddedError,
        MigrationError,
        database.UnsafeDatabaseError,
        KekMissingError,
        KeyStoreError,
        ValueError,
        OSError,
        asyncpg.PostgresError,
    ) as error:
        print(f"kafang: {error}", file=sys.stderr)
        sys.exit(1)
    if result is not None:
        print(_text(result, arguments.json))
    sys.exit(1 if isinstance(result, invariants.Report) and result.breaches else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Kafang: issue and redeem stored-value cards. "
        "Without DATABASE_URL it uses its own PostgreSQL in KAFANG_DATA_DIR (.kafang).",
    )
    parser.add_argument("--json", action="store_true", help="print results as JSON")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        added.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print results as JSON"
        )
        return added

    add("run", runner.run, "start everything and serve until Ctrl-C")
    add("migrate", _migrate, "bring the database to this version's schema")
    add(
        "verify",
        _verify,
        "check the ledger's invariants on the live database; exit 1 and name each breach",
    )
    bundled = add("bundle", _bundle, "write a merchant's event chain and what checks it")
    bundled.add_argument("folder", metavar="DIR", help="the bundle's own folder, not there yet")
    bundled.add_argument("--merchant", required=True, help="mer_…, whose chain it is")
    _add_personal(add)
    _add_backups(add)
    _add_tenants(add)
    _add_keys(add)
    user = add(
        "create-owner",
        _create_owner,
        "invite a merchant's first person, as its owner; the platform's is its admin",
    )
    user.add_argument("--merchant", required=True, help="mer_…, whose owner it is")
    user.add_argument("--email", required=True, help="their address; it isn't stored")
    add("openapi", _openapi, "print the OpenAPI 3.1 document")
    return parser


def _add_tenants(add: Add) -> None:
    merchant = add("create-merchant", _create_merchant, "create a tenant")
    merchant.add_argument("--name", required=True, help="as people know it")
    merchant.add_argument(
        "--mode",
        choices=["test", "live"],
        default="test",
        help="test and live never mix (default: test)",
    )
    merchant.add_argument("--currency", default="CNY", help="ISO 4217 code (default: CNY)")
    merchant.add_argument(
        "--time-zone",
        default="Asia/Shanghai",
        help="IANA zone that expiry runs in (default: Asia/Shanghai)",
    )
    platform = add(
        "create-platform", _create_platform, "create the tenant of those who look after merchants"
    )
    platform.add_argument("--name", required=True, help="as people know it")
    store = add("create-store", _create_store, "create a store of a merchant")
    store.add_argument("--merchant", required=True, help="mer_…, whose store it is")
    store.add_argument("--name", required=True, help="as people know it")
    store.add_argument("--legal-entity", required=True, help="the company that sells there")
    store.add_argument(
        "--time-zone",
        default="Asia/Shanghai",
        help="IANA zone of the store (default: Asia/Shanghai)",
    )
    store.add_argument(
        "--day-cutoff",
        default="00:00",
        type=_time_of_day,
        help="local time a business day begins, as 04:00 (default: 00:00)",
    )


def _add_keys(add: Add) -> None:
    key = add("create-key", _create_key, "create an API key; its text is shown this once")
    key.add_argument("--merchant", required=True, help="mer_…, whose key it is")
    key.add_argument("--name", required=True, help="what will use it")
    key.add_argument(
        "--bundle",
        choices=sorted(api_keys.BUNDLES),
        default="pos",
        help="pos: bound to --store; merchant: all stores (default: pos)",
    )
    key.add_argument("--store", help="sto_…, for a pos key")
    for name, operation, text in (
        ("refresh-key", _refresh_key, "let a key do what new ones may, after an upgrade"),
        ("revoke-key", _revoke_key, "end an API key; nothing sent with it is accepted"),
    ):
        made = add(name, operation, text)
        made.add_argument("--merchant", required=True, help="mer_…, whose key it is")
        made.add_argument("--key", required=True, help="key_…, as create-key told it")


def _add_personal(add: Add) -> None:
    rotated = add("rotate-keys", _rotate_keys, "seal what is personal under new keys")
    rotated.add_argument(
        "--destroy-older",
        action="store_true",
        help="then destroy the old keys: no backup from before can be read any more",
    )
    forgotten = add("forget", _forget, "erase whose time is over, and who a restore brought back")
    add("adopt-key-store", _adopt_key_store, "go on with another store of keys: the one is lost")
    for made in (rotated, forgotten):
        made.add_argument("--merchant", metavar="mer_…", help="only this one's (default: all)")


def _add_backups(add: Add) -> None:
    saved = add("backup", _backup, "copy Kafang's own PostgreSQL while it works")
    saved.add_argument("folder", metavar="DIR", help="the backup's own folder, not there yet")
    back = add(
        "restore",
        _restore,
        "put Kafang's own PostgreSQL back to an instant since a backup; what is there is set aside",
    )
    back.add_argument("folder", metavar="DIR", help="a backup")
    back.add_argument(
        "--to",
        type=_instant,
        metavar="TIME",
        help="as 2026-11-22T13:05:00+08:00 (default: the end of the log)",
    )
    back.add_argument(
        "--archive", metavar="DIR", help="where its log is (default: KAFANG_ARCHIVE_DIR)"
    )


def _time_of_day(text: str) -> time:
    try:
        found = time.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None:
        raise argparse.ArgumentTypeError(f"{text!r} is no local time of day, give one as 04:00")
    return found


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no instant, give one with its zone as 2026-11-22T13:05:00+08:00"
        )
    return found


def _backup(arguments: argparse.Namespace, settings: Settings) -> Any:
    with runner.own_database(settings) as server:
        return embedded_backup.backup(server, Path(arguments.folder))


def _restore(arguments: argparse.Namespace, settings: Settings) -> Any:
    data_dir, kept_in = runner.own_data_dir(settings), settings.archive_dir
    archive_dir = arguments.archive or kept_in
    return embedded_backup.restore(
        data_dir, Path(arguments.folder), archive_dir, arguments.to, kept_in
    )


def _migrate(_: argparse.Namespace, settings: Settings) -> Any:
    with runner.database_of(settings) as urls:
        return {"applied": asyncio.run(migrate(urls.require_owner()))}


def _verify(_: argparse.Namespace, settings: Settings) -> Any:
    async def do(url: str) -> invariants.Report:
        report = await invariants.verify(url)
        report = replace(report, breaches=report.breaches + await _unanchored(url, settings))
        if not has_keys:
            return report
        checks, found = [*report.checks, personal.INVARIANT], await personal.breaches(url, kept)
        return replace(report, checks=checks, breaches=report.breaches + found)

    # Whoever verifies elsewhere may not have the keys of people, and checks all but those.
    keks_are_here = bool(settings.keks) or settings.keks_file().exists()
    has_keys = keks_are_here and (not settings.database_url or bool(settings.key_store))
    kept = with_kept_secrets(settings) if has_keys else settings
    with runner.database_of(settings) as urls:
        return asyncio.run(do(urls.require_owner()))


async def _unanchored(url: str, settings: Settings) -> list[invariants.Breach]:
    connection: database.Connection = await asyncpg.connect(url)
    try:
        return await anchors.breaches(connection, settings.anchors())
    finally:
        await connection.close()


def _forget(arguments: argparse.Namespace, settings: Settings) -> Any:
    settings = with_kept_secrets(settings)
    with runner.database_of(settings) as urls:
        return asyncio.run(personal.forget(urls.require_owner(), settings, arguments.merchant))


def _adopt_key_store(_: argparse.Namespace, settings: Settings) -> Any:
    settings = with_kept_secrets(settings)
    with runner.database_of(settings) as urls:
        return asyncio.run(personal.adopt(urls.require_owner(), settings))


def _rotate_keys(arguments: argparse.Namespace, settings: Settings) -> Any:
    settings, older = with_kept_secrets(settings), arguments.destroy_older
    with runner.database_of(settings) as urls:
        return asyncio.run(
            personal.rotate(urls.require_owner(), settings, arguments.merchant, older)
        )


def _bundle(arguments: argparse.Namespace, settings: Settings) -> Any:
    folder = Path(arguments.folder)
    with runner.database_of(settings) as urls:
        return asyncio.run(
            bundle.write(urls.require_owner(), arguments.merchant, folder, settings.anchors())
        )


def _create_merchant(arguments: argparse.Namespace, settings: Settings) -> Any:
    return _with_pool(
        settings,
        lambda pool: merchants.create(
            pool, arguments.name, arguments.mode, arguments.currency, arguments.time_zone
        ),
    )


def _create_platform(arguments: argparse.Namespace, settings: Settings) -> Any:
    return _with_pool(
        settings,
        lambda pool: merchants.create(
            pool, arguments.name, "live", "CNY", "Asia/Shanghai", is_platform=True
        ),
    )


def _create_store(arguments: argparse.Namespace, settings: Settings) -> Any:
    return _with_pool(
        settings,
        lambda pool: stores.create(
            pool,
            arguments.merchant,
            arguments.name,
            arguments.legal_entity,
            arguments.time_zone,
            arguments.day_cutoff,
        ),
    )


def _create_key(arguments: argparse.Namespace, settings: Settings) -> Any:
    return _with_pool(
        settings,
        lambda pool: api_keys.create(
            pool, arguments.merchant, arguments.name, arguments.bundle, arguments.store
        ),
    )


def _create_owner(arguments: argparse.Namespace, settings: Settings) -> Any:
    key = Keys.of(with_kept_secrets(settings).secret()).email
    return _with_pool(
        settings,
        lambda pool: users.create_owner(pool, key, arguments.merchant, arguments.email),
    )


def _refresh_key(arguments: argparse.Namespace, settings: Settings) -> Any:
    merchant_id, api_key_id = arguments.merchant, arguments.key
    found = _with_pool(settings, lambda pool: api_keys.refresh(pool, merchant_id, api_key_id))
    if found is None:
        raise ValueError(f"the merchant {merchant_id} has no active key {api_key_id}")
    return found


def _revoke_key(arguments: argparse.Namespace, settings: Settings) -> Any:
    merchant_id, api_key_id = arguments.merchant, arguments.key
    if not _with_pool(settings, lambda pool: api_keys.revoke(pool, merchant_id, api_key_id)):
        raise ValueError(f"the merchant {merchant_id} has no active key {api_key_id}")
    return {"merchant_id": merchant_id, "api_key_id": api_key_id, "status": "revoked"}


def _openapi(_: argparse.Namespace, __: Settings) -> Any:
    sys.stdout.write(app.openapi_text())


def _with_pool(
    settings: Settings, work: Callable[[database.Pool], Coroutine[Any, Any, Any]]
) -> Any:
    async def do(url: str) -> Any:
        pool = await database.open_pool(url, 1)
        try:
            return await work(pool)
        finally:
            await pool.close()

    with runner.database_of(settings) as urls:
        asyncio.run(runner.prepare_schema(urls))
        return asyncio.run(do(urls.app))


def _text(result: Any, as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode(result).decode("utf-8")
    if isinstance(result, invariants.Report):
        return result.text()
    plain = msgspec.to_builtins(result)
    width = max(len(name) for name in plain)
    return "\n".join(f"{name:<{width}}  {_plain(value)}" for name, value in plain.items())


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    return "-" if value is None else str(value)
