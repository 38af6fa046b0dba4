"""The line to a database elsewhere: whose certificate is believed, and what is shown of ours.

The server here speaks no more of PostgreSQL than it takes to get as far as that. ASVS V12.3.2,
V12.3.4, V13.2.1.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec import Struct

from service.kernel import database
from tests.harness import certificates

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


class Site(Struct):
    """A server that only asks who is there, and what it learned: name and start of each."""

    port: int
    folder: Path
    came: list[tuple[Any, bytes]]

    def url(self, host: str = "localhost", **said: object) -> str:
        """Where it is; by itself as docs/operations.md has it."""
        said = {"sslmode": "verify-full", "sslrootcert": self.folder / "ca.pem"} | said
        ours = {"sslcert": self.folder / "kafang.pem", "sslkey": self.folder / "kafang.key"}
        query = "&".join(f"{name}={value}" for name, value in (ours | said).items())
        return f"postgresql://kafang@{host}:{self.port}/kafang?{query}"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """It believes those whom its own authority made."""
    authority, other = certificates.make("ca.example"), certificates.make("other.example")
    server = certificates.make("localhost", authority)
    client = certificates.make("kafang", authority)
    authority.write_certificate(tmp_path / "ca.pem")
    other.write_certificate(tmp_path / "other.pem")
    client.write_certificate(tmp_path / "kafang.pem")
    client.write_key(tmp_path / "kafang.key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(
        server.write_certificate(tmp_path / "db.pem"), server.write_key(tmp_path / "db.key")
    )
    made = Site(0, tmp_path, [])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.readexactly(8) != SSL_REQUEST:
                made.came.append((None, b"plain"))
                return
            writer.write(b"S")
            await writer.start_tls(context)
            start = await reader.read(1000)
            made.came.append((writer.get_extra_info("peercert"), start))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1")
    made.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield made


async def test_both_ends_show_who_they_are(site: Site) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
        await database.open_pool(site.url(), 1)
    shown, start = site.came[0]
    assert shown["subject"] == ((("commonName", "kafang"),),)
    assert b"user\0kafang\0" in start


async def test_whom_nobody_knows_learns_nothing(site: Site) -> None:
    """Not even who wants to come in. Negative control: with `sslmode=require` they do."""
    for url in (
        site.url(sslrootcert=site.folder / "other.pem"),
        site.url("127.0.0.1"),  # the certificate is another host's
    ):
        with pytest.raises(ssl.SSLError):
            await database.open_pool(url, 1)
        assert site.came == []
    lenient = site.url("127.0.0.1", sslmode="require", sslrootcert=site.folder / "ca.pem")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
        await database.open_pool(lenient, 1)
    assert len(site.came) == 1
