"""Backups of the embedded server, and the way back to any instant since one (see `embedded`).

    backup/
      cluster/          a copy of the cluster, made while it worked, with PostgreSQL's manifest
      passwords.json    of the roles in it

With an archive folder the server also keeps every file of its write-ahead log there, so that the
copy can be brought forward to any instant after it. The service's secret is in neither.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from msgspec import Struct

from service.kernel import embedded
from service.kernel.embedded_site import EmbeddedError, Site, find_site, run
from service.kernel.sql import SQL

BEFORE_TARGET = "recovery ended before configured recovery target was reached"
PARTS = ("cluster", "passwords.json", "anchors")
ARCHIVE_DEADLINE_S = 60.0
RESTORE_DEADLINE_S = 24 * 3600.0
# What a lost machine costs at most: so much of the log is not in the archive yet.
ARCHIVE_TIMEOUT = "60s"
# Whole or not there, on the disk before PostgreSQL forgets its own; never another file's place.
_KEEP = (
    "if test -f {0}; then cmp -s %p {0}; else cp %p {0}.new && sync {0}.new && mv {0}.new {0}; fi"
)


class Backup(Struct, frozen=True):
    """A backup that was made and checked.

    `first_log_file` is the oldest file of the archive that it needs; `archive` says whether there
    is one, and that it has all that was written until `ended_at`.
    """

    folder: str
    first_log_file: str
    archive: bool
    ended_at: datetime


class Restored(Struct, frozen=True):
    """A restored database, stopped. `set_aside` is what was there before."""

    data_dir: str
    last_commit_at: datetime | None
    set_aside: str | None


def archiving(data_dir: Path, archive_dir: str) -> dict[str, str]:
    """The settings with which the server of `data_dir` keeps its log in `archive_dir`, made here.

    Nothing when `archive_dir` is empty. Raises EmbeddedError when the server could not write there.
    """
    if not archive_dir:
        return {}
    folder, site = Path(os.path.abspath(archive_dir)), find_site(data_dir)
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)
        if site.user:
            os.chown(folder, site.user.user_id, site.user.group_id)
    try:
        run(site.user, ["/bin/sh", "-c", 'test -w "$1" && test -x "$1"', "sh", folder])
    except EmbeddedError as error:
        raise EmbeddedError(f"PostgreSQL's user can't write to the archive {folder}") from error
    return {
        "archive_mode": "on",
        "archive_command": _KEEP.format(f"{_quoted(folder)}/%f"),
        "archive_timeout": ARCHIVE_TIMEOUT,
    }


def _quoted(folder: Path) -> str:
    return shlex.quote(str(folder)).replace("%", "%%")


def backup(server: embedded.Server, folder: Path) -> Backup:
    """Copy the server's cluster to `folder`, which must not be there yet, while it works.

    With an archive, wait until it has everything. Raises EmbeddedError.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists():
        raise EmbeddedError(f"{folder} is there already: a backup gets a folder of its own")
    folder.mkdir(parents=True, mode=0o700)
    site = find_site(server.data_dir)
    passwords = server.data_dir / "passwords.json"
    copied = folder / "cluster"
    run(
        None,
        [
            *(site.bin_dir / "pg_basebackup", "-D", copied, "-X", "stream", "-c", "fast"),
            *("-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "-w"),
        ],
        {
            "PGPASSWORD": json.loads(passwords.read_text("ascii"))["postgres"],
            "PGSSLMODE": "disable",
        },
    )
    _copy_secret(passwords, folder)
    _check(site, copied)
    label = (copied / "backup_label").read_text("utf-8")
    first = re.search(r"^START WAL LOCATION: \S+ \(file ([0-9A-F]+)\)", label, re.MULTILINE)
    assert first is not None
    archived = embedded.in_thread(_filled, server)
    return Backup(str(folder), first[1], archived, datetime.now(UTC))


def fill_archive(server: embedded.Server) -> bool:
    """Wait until the archive has everything written so far; false when there is none.

    Raises EmbeddedError when it doesn't take it.
    """
    return embedded.in_thread(_filled, server)


async def _filled(server: embedded.Server) -> bool:
    connection = await asyncpg.connect(server.admin_dsn)
    try:
        if not await connection.fetchval(SQL["backup.archives"]):
            return False
        last = await connection.fetchval(SQL["backup.end_log_file"])
        deadline = time.monotonic() + ARCHIVE_DEADLINE_S
        while not await connection.fetchval(SQL["backup.archived"], last):
            if time.monotonic() > deadline:
                failed = await connection.fetchval(SQL["backup.archive_failed"])
                raise EmbeddedError(
                    f"the archive did not take {last} in {ARCHIVE_DEADLINE_S:.0f} s "
                    f"(last failure: {failed}); see {server.data_dir}/server.log"
                )
            await asyncio.sleep(0.05)
    finally:
        await connection.close()
    return True


def restore(
    data_dir: Path, folder: Path, archive_dir: str, to: datetime | None, kept_in: str = ""
) -> Restored:
    """Put the database of `data_dir` back to what it was at `to`, or at the end of the log.

    It is copied from the backup in `folder` and brought forward with the log in `archive_dir` and,
    where that ends, with what the former database has. That one is set aside, never deleted; after
    a failure it is in its place again. `kept_in` is the archive that the restored one goes on to
    fill. Raises EmbeddedError: the server runs, the backup is damaged, the log doesn't reach `to`,
    or not the end of the former database.
    """
    aside = find_site(data_dir).data_dir / f"before-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    settings = _recovery(archive_dir, aside, to) | archiving(data_dir, kept_in)
    place = _placed(Path(os.path.abspath(folder)), aside)
    try:
        server = embedded.start(data_dir, settings, place, RESTORE_DEADLINE_S)
        try:
            last = embedded.in_thread(_last_commit_at, server)
            if not to and (aside / "cluster").exists():
                _require_end(server, aside)
        finally:
            embedded.stop(server)
    except BaseException as error:
        _put_back(aside)
        if to and BEFORE_TARGET in str(error):
            raise EmbeddedError(
                f"nothing in the log is as late as {to.isoformat()}: for its end leave --to out"
            ) from error
        raise
    return Restored(str(server.data_dir), last, str(aside) if any(aside.iterdir()) else None)


def _require_end(server: embedded.Server, aside: Path) -> None:
    """Refuse an end of the log that is none: a missing file ends a recovery without a word.

    A server without an archive uses its old log files again, and a backup from before an earlier
    restore leads along another line of history.
    """
    control = find_site(server.data_dir).bin_dir / "pg_controldata"
    said = run(None, [control, aside / "cluster"])
    found = re.search(r"^Latest checkpoint location: +(\S+)$", said, re.MULTILINE)
    assert found is not None

    async def reached(server: embedded.Server) -> bool:
        return await _asked(server, "backup.reached", found[1]) is True

    if not embedded.in_thread(reached, server):
        raise EmbeddedError(
            "the log does not lead from this backup to the end of the database that is there: "
            "take a later backup, name the archive with --archive, or an instant with --to"
        )


def _recovery(archive_dir: str, aside: Path, to: datetime | None) -> dict[str, str]:
    """How PostgreSQL brings the copy forward: along the backup's own line of history."""
    places = [aside / "cluster" / "pg_wal"]
    if archive_dir:
        places.insert(0, Path(os.path.abspath(archive_dir)))
    commands = [f"cp {_quoted(place)}/%f %p 2>/dev/null" for place in places]
    settings = {
        "restore_command": " || ".join(commands),
        "recovery_target_timeline": "current",
        "recovery_target_action": "promote",
        "hot_standby": "off",  # who can connect finds the recovery ended
    }
    return settings | ({"recovery_target_time": to.isoformat()} if to else {})


def _placed(folder: Path, aside: Path) -> Callable[[Site], None]:
    """Set aside what is there, and put the backup's copy there, to be recovered at its start."""

    def place(site: Site) -> None:
        if not (folder / "cluster").is_dir():
            raise EmbeddedError(f"{folder} holds no backup: there is no cluster in it")
        _check(site, folder / "cluster")
        fresh = site.data_dir / f"cluster.new-{aside.name}"
        shutil.copytree(folder / "cluster", fresh, symlinks=True)
        (fresh / "recovery.signal").touch(0o600)
        if site.user:
            for path in (fresh, *fresh.rglob("*")):
                os.chown(path, site.user.user_id, site.user.group_id, follow_symlinks=False)
        aside.mkdir(mode=0o755)
        for name in PARTS:
            if (site.data_dir / name).exists():
                (site.data_dir / name).rename(aside / name)
        _copy_secret(folder / "passwords.json", site.data_dir)
        fresh.rename(site.cluster_dir)

    return place


def _copy_secret(file: Path, folder: Path) -> None:
    with open(
        os.open(folder / file.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
    ) as out:
        out.write(file.read_bytes())


def _put_back(aside: Path) -> None:
    """Undo `place`, as far as it came: without `aside` it has changed nothing."""
    if not aside.exists():
        return
    shutil.rmtree(aside.with_name("cluster"), ignore_errors=True)
    aside.with_name("passwords.json").unlink(missing_ok=True)
    for part in aside.iterdir():
        part.rename(aside.with_name(part.name))
    aside.rmdir()


def _check(site: Site, copied: Path) -> None:
    """Hold a copy against its manifest: every file there, none changed."""
    run(None, [site.bin_dir / "pg_verifybackup", "-q", copied])


async def _last_commit_at(server: embedded.Server) -> datetime | None:
    found: datetime | None = await _asked(server, "backup.last_commit_at")
    return found


async def _asked(server: embedded.Server, query: str, *values: str) -> Any:
    connection = await asyncpg.connect(server.admin_dsn)
    try:
        return await connection.fetchval(SQL[query], *values)
    finally:
        await connection.close()
