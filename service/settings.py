"""Settings: one Struct, read from the environment, refused by name when wrong."""

import functools
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Literal

import asyncpg
import msgspec
from msgspec import Meta, Struct

from schemas.common import Secret
from service.kernel import database, dsn, keks
from service.kernel import key_store as key_stores
from service.kernel.breaches import Breaches
from service.kernel.keks import KekMissingError, Keks
from service.kernel.key_store import UnsafeStoreError
from service.kernel.keyring import Keyring, WrongStoreError
from service.kernel.secret_command import SecretCommandError, secrets_of
from service.kernel.sql import SQL
from service.kernel.tls import Certificate


class SettingsError(ValueError):
    """A setting is missing or out of bounds; the message names it."""


class Settings(Struct, frozen=True):
    """Everything that can be set.

    The environment variable is the field's name in upper case, with `KAFANG_` before it.
    """

    # Where the application connects, as a role that row-level security binds. Empty: Kafang starts
    # its own PostgreSQL.
    database_url: Secret = ""
    # The owner of the schema, for `migrate` and `verify`; needed only with database_url. The other
    # commands migrate too when it is given, and else refuse a schema that isn't up to date.
    migration_url: Secret = ""
    # Exactly 64 hexadecimal characters, kept outside the database. To serve with database_url it is
    # required; without, it is made at the first start and kept in data_dir.
    secret_key: Annotated[Secret, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    # Keys that wrap the keys of what is personal: 64 hexadecimal characters each, the current one
    # first, commas between them; or a file with one on each line. Kept as secret_key is.
    keks: Secret = ""
    kek_file: str = ""
    # Where the keys of people are kept, apart from the ledger and its backups: a PostgreSQL
    # database of its own, or `file`, in data_dir, for one host. With database_url it must be said.
    key_store: Secret = ""
    # A command that fetches secrets from a vault or a key management service, and prints them as
    # lines of NAME=value; a word of it may be one itself.
    secrets_command: Secret = ""
    data_dir: str = ".kafang"
    # Where our own PostgreSQL keeps its log for point-in-time restores. Empty: nowhere.
    archive_dir: str = ""
    # PEM files; TLS is spoken, and nothing else, where they are given. Without them it ends at a
    # proxy.
    tls_certificate: str = ""
    tls_key: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 8321
    workers: Annotated[int, Meta(ge=1, le=64)] = 2
    lanes: Annotated[int, Meta(ge=1, le=64)] = 3
    batch_max: Annotated[int, Meta(ge=1, le=1000)] = 128
    queue_max: Annotated[int, Meta(ge=1, le=100_000)] = 4096
    reader_connections: Annotated[int, Meta(ge=1, le=100)] = 8
    # Requests that a worker serves at once: enough to fill its batches, few enough that none of
    # them waits long. The others wait; after wait_s they begin to be turned away.
    served_max: Annotated[int, Meta(ge=4, le=10_000)] = 512
    wait_s: Annotated[float, Meta(gt=0, le=60)] = 3.0
    # No answer comes later than this, reports, a card's record and closings of a day excepted.
    deadline_s: Annotated[float, Meta(gt=0, le=120)] = 7.0
    # Requests of one merchant that a worker begins in a second; 0: no limit. For a service that
    # merchants share, so that one with far too many doesn't slow the others down.
    tenant_per_s: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    # Open connections of each worker; a till keeps one. To make room those are closed that have
    # been idle longest, and new ones where none is idle.
    connections_max: Annotated[int, Meta(ge=16, le=100_000)] = 8192
    # How long the writer goes on trying to settle a request before it answers "unknown" or
    # "unavailable".
    patience_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    # A person's session is over when nobody used it for session_idle_s, and after session_s at the
    # latest.
    session_idle_s: Annotated[float, Meta(ge=180, le=86_400)] = 1800.0
    session_s: Annotated[float, Meta(ge=300, le=604_800)] = 43_200.0
    # Whether people are invited at addresses of companies only, not at those of free mail services.
    company_mail_only: bool = False
    # A file of passwords known from breaches, which nobody may choose: their SHA-1 in order, as
    # Have I Been Pwned's downloader writes it. Empty: the common ones are refused alone.
    breaches_file: str = ""
    # How many proxies of yours are in front: so many addresses at the end of X-Forwarded-For are
    # theirs to tell. 0: the header is not believed.
    trusted_proxies: Annotated[int, Meta(ge=0, le=8)] = 0
    # Whether this host may number events; some host must, or the feed stands still.
    sequencer: bool = True
    # Where the ends of the event chains are written down, every anchor_s. Empty: `anchors` in
    # data_dir. It should be a place that whoever writes the database doesn't reach.
    anchor_dir: str = ""
    anchor_s: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # Set by `run`: the demo tenant in data_dir is one of this database.
    demo: bool = False
    # Development only: serve on a database that could lose an acknowledged commit.
    allow_unsafe_durability: bool = False

    @property
    def base_url(self) -> str:
        """Where it serves."""
        scheme = "https" if self.tls_certificate else "http"
        return f"{scheme}://{self.host}:{self.port}"

    def certificate(self) -> Certificate | None:
        """What TLS is spoken with; None: it isn't. Raises SettingsError."""
        if not self.tls_certificate and not self.tls_key:
            return None
        if not self.tls_certificate or not self.tls_key:
            raise SettingsError("KAFANG_TLS_CERTIFICATE and KAFANG_TLS_KEY: give both of them")
        try:
            return Certificate(self.tls_certificate, self.tls_key)
        except OSError as error:
            raise SettingsError(f"KAFANG_TLS_CERTIFICATE, KAFANG_TLS_KEY: {error}") from None

    def breaches(self) -> Breaches | None:
        """The passwords known from breaches; None: there is no file. Raises SettingsError."""
        if not self.breaches_file:
            return None
        try:
            return Breaches(self.breaches_file)
        except (OSError, ValueError) as error:
            raise SettingsError(f"KAFANG_BREACHES_FILE: {error}") from None

    def anchors(self) -> Path:
        """The folder of the anchors."""
        return Path(self.anchor_dir or Path(self.data_dir) / "anchors")

    def secret(self) -> bytes:
        """The service's secret. Raises SettingsError when there is none."""
        if not self.secret_key:
            raise SettingsError(
                "KAFANG_SECRET_KEY is required with DATABASE_URL: "
                "64 hexadecimal characters, the same on every host"
            )
        return bytes.fromhex(self.secret_key)

    def keks_file(self) -> Path:
        """The file of the key-encryption keys, where they aren't given themselves."""
        return Path(self.kek_file or Path(self.data_dir) / "keks")

    def key_encryption_keys(self) -> Keks:
        """What wraps the keys of what is personal. Raises SettingsError."""
        named = "KAFANG_KEKS" if self.keks else "KAFANG_KEK_FILE"
        try:
            return keks.parse(self.keks or self.keks_file().read_text("ascii"))
        except OSError as error:
            raise SettingsError(f"{named}: {error}") from None
        except ValueError as error:
            raise SettingsError(f"{named}: {error}") from None


_NAMES = {"DATABASE_URL": "database_url"} | {
    f"KAFANG_{name.upper()}": name for name in Settings.__struct_fields__
}


# What a command may fetch.
_SECRETS = ("DATABASE_URL", *(f"KAFANG_{name}" for name in (
    "MIGRATION_URL", "SECRET_KEY", "KEKS", "KEY_STORE")))  # fmt: skip


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. Raises SettingsError naming every variable that is wrong or unknown."""
    environment = os.environ if environment is None else environment
    unknown = sorted(
        name
        for name in environment
        if name.startswith("KAFANG_") and name not in _NAMES and name not in _OTHERS
    )
    if unknown:
        raise SettingsError(
            f"unknown settings: {', '.join(unknown)}; known are {', '.join(sorted(_NAMES))}"
        )
    environment = _with_fetched(environment)
    given = {field: environment[name] for name, field in _NAMES.items() if environment.get(name)}
    problems = []
    for name, field in _NAMES.items():
        if field in given and environment.get(name):
            try:
                msgspec.convert({field: given[field]}, Settings, strict=False)
            except msgspec.ValidationError as error:
                problems.append(f"{name}: {str(error).split(' - at')[0]}")
        is_url = field.endswith("_url") or (field == "key_store" and given.get(field) != "file")
        if is_url and field in given:
            problems += _wrong_with(name, given[field], environment.get("PGSSLMODE", ""))
    if problems:
        raise SettingsError("; ".join(problems))
    settings = msgspec.convert(given, Settings, strict=False)
    if settings.deadline_s < 2 * settings.wait_s:
        raise SettingsError("KAFANG_DEADLINE_S: must be at least twice KAFANG_WAIT_S")
    if 0 < settings.tenant_per_s < 1:
        raise SettingsError("KAFANG_TENANT_PER_S: must be at least 1, or 0 for no limit")
    return settings


def _wrong_with(name: str, url: str, sslmode: str) -> Iterator[str]:
    """What is wrong with where a database is; nothing of it is quoted."""
    if not dsn.is_url(url):
        yield f"{name}: not a URL as postgresql://user:password@host:port/database"
    elif dsn.is_open(url, sslmode):
        yield (
            f"{name}: a line to another host says sslmode=verify-full (with sslrootcert), or "
            "sslmode=disable where nobody else reaches it"
        )


def _with_fetched(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with what KAFANG_SECRETS_COMMAND fetches. Raises SettingsError."""
    command = environment.get("KAFANG_SECRETS_COMMAND")
    if not command:
        return environment
    try:
        fetched = secrets_of(command, _SECRETS)
    except SecretCommandError as error:
        raise SettingsError(f"KAFANG_SECRETS_COMMAND: {error}") from None
    if twice := sorted(name for name in fetched if environment.get(name)):
        raise SettingsError(f"given, and fetched by KAFANG_SECRETS_COMMAND: {', '.join(twice)}")
    return {**environment, **fetched}


# Read by the embedded PostgreSQL, not by this Struct.
_OTHERS = {"KAFANG_PG_BIN"}


def with_kept_secrets(settings: Settings) -> Settings:
    """The settings with the secrets kept in data_dir, made there (0600) on first use.

    Raises SettingsError when a file doesn't hold what it should, and when one is missing for a
    database that is not our own: each host would make another one.
    """
    if settings.keks and settings.kek_file:
        raise SettingsError("KAFANG_KEKS and KAFANG_KEK_FILE: give one of them")
    if settings.database_url:
        settings.secret()
        if not (settings.keks or settings.kek_file) or not settings.key_store:
            raise SettingsError(
                "KAFANG_KEKS (or KAFANG_KEK_FILE) and KAFANG_KEY_STORE are required with "
                "DATABASE_URL: keys of 64 hexadecimal characters, the same on every host, and "
                "where the keys of people are kept, a PostgreSQL database of its own or, for one "
                "host, `file`"
            )
    folder = Path(settings.data_dir)
    if not settings.secret_key:
        kept = _kept(folder / "secret_key")
        if not re.fullmatch("[0-9a-f]{64}", kept):
            raise SettingsError(
                f"{folder / 'secret_key'} does not hold 64 hexadecimal characters: restore it, or "
                "set KAFANG_SECRET_KEY to the secret this database was first used with"
            )
        settings = msgspec.structs.replace(settings, secret_key=kept)
    if not settings.keks and not settings.kek_file:
        _kept(settings.keks_file())
    settings.key_encryption_keys()
    return settings


def _kept(file: Path) -> str:
    """What a file holds, a new secret on first use."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        _keep_new_secret(file)
    return file.read_text("utf-8", "replace").strip()


def _keep_new_secret(file: Path) -> None:
    """The file is whole or not there, whatever is killed; of two that make it the first wins."""
    fd, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # made 0600
    try:
        with os.fdopen(fd, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
            stream.flush()
            os.fsync(stream.fileno())
        # As a rename, but it never replaces what another start kept meanwhile.
        with suppress(FileExistsError):
            os.link(name, file)
    finally:
        os.unlink(name)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def check_secret(connection: database.Connection, settings: Settings) -> None:
    """Tie a new database to the secret; raises SettingsError when it is tied to another one.

    With another secret a repeated request would not be recognised, and be applied twice.
    """
    own = blake2b(b"check", key=settings.secret(), digest_size=16).digest()
    await connection.execute(SQL["startup.claim"], own)
    if await connection.fetchval(SQL["startup.secret_check"]) != own:
        raise SettingsError(
            "KAFANG_SECRET_KEY is not the one this database was first used with: set that one "
            f"(when the variable is not set it is read from {settings.data_dir}/secret_key)"
        )


def keyring_of(settings: Settings, url: str) -> Keyring:
    """The keys of what is personal, of the database at `url`; nothing is opened yet."""
    store = key_stores.key_store(settings.key_store, settings.data_dir)
    return Keyring(settings.key_encryption_keys(), store, functools.partial(_claim, url))


async def _claim(url: str, key_store_id: bytes) -> bytes | None:
    """Tie a new database to its store of keys; which one it is tied to.

    On a connection of its own: whoever needs a key may hold the last one of a pool.
    """
    connection = await asyncpg.connect(url, timeout=database.CONNECT_TIMEOUT_S)
    try:
        await connection.execute(SQL["startup.claim_key_store"], key_store_id)
        found: bytes | None = await connection.fetchval(SQL["startup.key_store_id"])
        return found
    finally:
        await connection.close()


async def check_keys(settings: Settings, url: str) -> None:
    """Raise SettingsError for a store or KEKs with which nobody could be read, or KeyStoreError."""
    keyring = keyring_of(settings, url)
    try:
        await keyring.check()
    except WrongStoreError:
        raise SettingsError(
            "KAFANG_KEY_STORE is not the store of keys this database was first used with: name "
            "that one (`file` is person_keys.db in the data folder), or put its copy back. If it "
            "is lost: `python -m service adopt-key-store`"
        ) from None
    except UnsafeStoreError as error:
        raise SettingsError(f"KAFANG_KEY_STORE: {error}, or keys could be lost") from None
    except KekMissingError as error:
        raise SettingsError(
            f"KAFANG_KEKS: {error}: give them after the current one, or nobody's name or phone "
            "can be read. If they are lost, set the store of keys aside too, and adopt a new one: "
            "`python -m service adopt-key-store`"
        ) from None
    finally:
        await keyring.close()


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for worker processes."""
    values = {field: getattr(settings, field) for field in Settings.__struct_fields__}
    named = {
        f"KAFANG_{field.upper()}": str(value) for field, value in values.items() if value != ""
    }
    if settings.database_url:
        named["DATABASE_URL"] = named.pop("KAFANG_DATABASE_URL")
    return named
