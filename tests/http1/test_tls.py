"""TLS of one's own: what is served is the same, and what isn't TLS isn't served. ASVS V12."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.kernel.tls import Certificate
from service.settings import SettingsError, load
from tests.harness import certificates
from tests.http1 import wire
from tests.http1.wire import GET, LARGE, Served, Wire, post


class Pair:
    """The files of a certificate and its key, and of others that come in their place."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "tls.pem", folder / "tls.key"
        self._age = 0

    def write(self, *, with_key: bool = True) -> bytes:
        """A new pair, or half of one; the certificate as it is sent."""
        made = certificates.make("localhost")
        made.write_certificate(self.certificate)
        if with_key:
            made.write_key(self.key)
        self._age += 1
        for file in (self.certificate, self.key):
            os.utime(file, (self._age, self._age))
        return made.der


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A pair on the disk."""
    made = Pair(tmp_path)
    made.write()
    return made


@pytest.fixture
async def site(pair: Pair) -> AsyncIterator[Served]:
    """The toy, over TLS."""
    certificate = Certificate(str(pair.certificate), str(pair.key))
    async with wire.served(certificate=certificate) as served:
        yield served


async def connected(site: Served, trusted: Path, *, newest: ssl.TLSVersion | None = None) -> Wire:
    """A connection of somebody who believes this certificate."""
    context = ssl.create_default_context(cafile=str(trusted))
    if newest is not None:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = newest
        context.set_ciphers("ALL:@SECLEVEL=0")
    site.wires.append(Wire(*await asyncio.open_connection("localhost", site.port, ssl=context)))
    return site.wires[-1]


def shown(connection: Wire) -> bytes:
    """The certificate that the other end showed."""
    found: bytes = connection.writer.get_extra_info("ssl_object").getpeercert(True)
    return found


async def test_what_is_served_is_the_same(site: Served, pair: Pair) -> None:
    connection = await connected(site, pair.certificate)
    assert (await connection.ask(GET)).seen["path"] == "/cups"
    body = b"y" * 900_000
    assert (await connection.ask(post(body))).seen["whole"]
    large = await connection.ask(GET.replace(b"/cups", b"/large"))
    assert len(large.body) == LARGE
    last = await connection.ask(GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    assert last.headers["connection"] == "close"
    assert await connection.ended() == b""


async def test_who_still_sends_is_answered(site: Served, pair: Pair) -> None:
    """Over TLS nobody can say that they are done sending: the rest is read until they go."""
    connection = await connected(site, pair.certificate)
    whole = post(b"z" * 30_000_000, path=b"/early")
    with capture_logs() as told:
        assert (await connection.ask(whole[:100_000])).status == 200
    assert told == []
    assert len(site.listener.connections) == 1  # a reset could overtake the answer
    async with asyncio.timeout(wire.LATE_S):
        await connection.send(whole[100_000:])
    connection.drop()
    await site.empty()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_it_is_of_today(site: Served, pair: Pair, newest: ssl.TLSVersion) -> None:
    connection = await connected(site, pair.certificate, newest=newest)
    assert connection.writer.get_extra_info("ssl_object").version() == newest.name.replace("_", ".")
    cipher, _, bits = connection.writer.get_extra_info("cipher")
    assert bits >= 128
    assert "GCM" in cipher or "CHACHA20" in cipher
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await connected(site, pair.certificate, newest=ssl.TLSVersion.TLSv1_1)
    # An OpenSSL of today refuses that by itself.
    certificate = site.listener.certificate
    assert certificate is not None
    assert certificate.context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_what_isnt_tls_isnt_served(site: Served) -> None:
    plain = await site.wire()
    await plain.send(GET)
    assert b"HTTP" not in await plain.ended()
    assert site.toy.begun == 0


async def test_another_certificate_is_taken_while_it_serves(site: Served, pair: Pair) -> None:
    """Half of a new pair is left: negative control, loading it at once leaves neither."""
    before = await connected(site, pair.certificate)
    first, certificate = shown(before), site.listener.certificate
    assert certificate is not None
    old = pair.certificate.read_bytes()
    pair.write(with_key=False)
    certificate.look()
    kept = pair.certificate.with_name("old.pem")
    kept.write_bytes(old)
    assert shown(await connected(site, kept)) == first
    second = pair.write()
    certificate.look()
    assert shown(await connected(site, pair.certificate)) == second != first
    assert (await before.ask(GET)).status == 200
    pair.key.unlink()
    certificate.look()
    assert shown(await connected(site, pair.certificate)) == second


async def test_it_is_looked_at(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = asyncio.Event()
    monkeypatch.setattr("service.kernel.listener.LOOK_EVERY_S", 0)
    certificate = Certificate(str(pair.certificate), str(pair.key))
    monkeypatch.setattr(certificate, "look", looked.set)
    async with wire.served(certificate=certificate), asyncio.timeout(wire.LATE_S):
        await looked.wait()


def test_the_settings_say_what_is_wrong(pair: Pair) -> None:
    assert load({}).certificate() is None
    assert load({}).base_url == "http://127.0.0.1:8321"
    named = {"KAFANG_TLS_CERTIFICATE": str(pair.certificate), "KAFANG_TLS_KEY": str(pair.key)}
    assert load(named).certificate() is not None
    assert load(named).base_url == "https://127.0.0.1:8321"
    for name in named:
        with pytest.raises(SettingsError, match="give both of them"):
            load({name: named[name]}).certificate()
        with pytest.raises(SettingsError, match="No such file"):
            load({**named, name: "/nowhere.pem"}).certificate()
    pair.write(with_key=False)
    with pytest.raises(SettingsError, match="KEY_VALUES_MISMATCH"):
        load(named).certificate()
