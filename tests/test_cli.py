"""The command line as an operator meets it: help, wrong use, wrong settings, what it prints."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from service import cli
from service.kernel.tokens import parse
from tests.api import shop
from tests.bench import seed
from tests.harness import server as servers
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import TestCard

COMMANDS = [  # in the order of the help
    "run", "migrate", "verify", "backup", "restore", "create-merchant", "create-platform",
    "create-store",
    "create-key", "refresh-key", "revoke-key", "openapi",
]  # fmt: skip


@pytest.fixture(name="own", scope="module")
def _own() -> Iterator[Server]:
    """A server whose ledger may be damaged."""
    with servers.running() as server:
        yield server


def kafang(server: Server, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command beside a running server, on its database."""
    return servers.command(server.data_dir, server.port, *arguments, **settings)


def called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, str, str]:
    """Exit code, output and errors of a command that needs no database."""
    monkeypatch.setattr(sys, "argv", ["kafang", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_help_names_every_command_with_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = called(monkeypatch, capsys, "--help")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for command, following in pairwise([*COMMANDS, "options:"]):
        explained = words.partition(f" {command} ")[2].partition(f" {following} ")[0]
        assert len(explained.split()) >= 3, f"{command} says nothing of itself"
    assert "DATABASE_URL" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, err = called(monkeypatch, capsys, command, "--help")
    assert (code, err) == (0, "")
    options = re.split(r"\n  (?=-)", out.partition("options:")[2])[1:]
    assert len(options) >= 2
    for option in options:
        explained = re.split(r"\s{2,}", option.strip(), maxsplit=1)
        assert len(explained) == 2, f"{option} says nothing of itself"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["redeem"], "invalid choice: 'redeem'"),
        (["verify", "--colour"], "--colour"),
        (["create-merchant"], "--name"),
        (["revoke-key", "--merchant", "m"], "--key"),
        (["create-merchant", "--name", "a", "--mode", "trial"], "choose from"),
        (["create-store", "--merchant", "mer_1", "--name", "a"], "--legal-entity"),
        (
            ["create-store", "--merchant", "m", "--legal-entity", "b", "--day-cutoff", "25:00"],
            "'25:00' is no local time of day, give one as 04:00",
        ),
        (["create-key", "--name", "till", "--bundle", "root", "--merchant", "m"], "choose from"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str],
    says: str,
) -> None:  # fmt: skip
    code, out, err = called(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: " in err
    assert says in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("KAFANG_PORT", "http", "KAFANG_PORT"),
        ("KAFANG_PORT", "70000", "KAFANG_PORT"),
        ("KAFANG_WORKERS", "0", "KAFANG_WORKERS"),
        ("KAFANG_SECRET_KEY", "short", "KAFANG_SECRET_KEY"),
        ("KAFANG_SECRET_KEY", "a" * 66, "KAFANG_SECRET_KEY"),
        ("KAFANG_LOG_LEVEL", "loud", "KAFANG_LOG_LEVEL"),
        ("KAFANG_PROT", "8321", "unknown settings: KAFANG_PROT; known are "),
        ("DATABASE_URL", "postgresql://localhost/x", "KAFANG_MIGRATION_URL is required"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str,
    says: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(name, value)
    code, out, err = called(monkeypatch, capsys, "verify")
    assert (code, out) == (1, "")
    assert err.startswith("kafang: ")
    assert says in err
    assert "Traceback" not in err
    assert "short" not in err


def test_only_who_serves_needs_the_secret(server: Server) -> None:
    own = {
        "DATABASE_URL": server.postgres.app_dsn,
        "KAFANG_MIGRATION_URL": server.postgres.owner_dsn,
    }
    port = {"KAFANG_PORT": str(servers.free_port())}
    done = kafang(server, "run", **own, **port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kafang: KAFANG_SECRET_KEY is required with DATABASE_URL")
    done = kafang(server, "migrate", "--json", **own)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"applied": []})


def test_a_database_that_is_not_there(server: Server) -> None:
    port = servers.free_port()
    settings = {
        "DATABASE_URL": f"postgresql://kafang@127.0.0.1:{port}/kafang",
        "KAFANG_MIGRATION_URL": f"postgresql://kafang@127.0.0.1:{port}/kafang",
    }
    done = kafang(server, "verify", **settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kafang: ")
    assert "Traceback" not in done.stderr


def test_a_database_that_does_not_let_us_in(server: Server) -> None:
    wrong = re.sub(r"(//\w+:)[^@]+@", r"\1wrong@", server.postgres.owner_dsn)
    settings = {"DATABASE_URL": wrong, "KAFANG_MIGRATION_URL": wrong}
    done = kafang(server, "verify", **settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kafang: password authentication failed")
    assert "Traceback" not in done.stderr


async def test_from_a_merchant_to_a_working_key(server: Server) -> None:
    made = kafang(server, "create-merchant", "--name", "青禾美发", "--json")
    merchant = json.loads(made.stdout)
    assert (made.returncode, made.stderr) == (0, "")
    assert (merchant["mode"], merchant["currency"]) == ("test", "CNY")
    named = ["--merchant", merchant["merchant_id"], "--name"]
    store = kafang(
        server, "--json", "create-store", *named, "人民广场店", "--legal-entity", "青禾美发",
        "--day-cutoff", "04:00",
    )  # fmt: skip
    assert store.returncode == 0, store.stderr
    store_id = json.loads(store.stdout)["store_id"]
    assert json.loads(store.stdout)["day_cutoff"] == "04:00:00"
    key = kafang(server, "create-key", *named, "till 1", "--store", store_id)
    facts = dict(line.split(maxsplit=1) for line in key.stdout.splitlines())
    assert facts["store_id"] == store_id
    assert "redemptions:write" in facts["scopes"]
    assert parse(facts["token"]) is not None
    async with Client(server.host, server.port, facts["token"]) as till:
        answer = await till.get("/v1/redemptions?request_no=A-1")
    assert (answer.status, answer.json()) == (200, {"data": []})


async def test_a_revoked_key_opens_nothing(server: Server) -> None:
    demo = server.demo()
    named = ["--merchant", demo["merchant_id"]]
    till = ["--name", "till 2", "--store", demo["store_id"], "--json"]
    key = json.loads(kafang(server, "create-key", *named, *till).stdout)
    async with Client(server.host, server.port, key["token"]) as client:
        assert (await client.get("/v1/redemptions?request_no=A-1")).status == 200
        done = kafang(server, "revoke-key", *named, "--key", key["api_key_id"])
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split()[-2:] == ["status", "revoked"]
        assert (await client.get("/v1/redemptions?request_no=A-1")).status == 401
    for merchant, api_key in ((named[1], key["api_key_id"]), ("mer_x", "key_x")):
        done = kafang(server, "revoke-key", "--merchant", merchant, "--key", api_key)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"kafang: the merchant {merchant} has no active key {api_key}\n"


@pytest.mark.parametrize("bundle", ["pos", "merchant"])
async def test_a_key_made_before_may_do_what_new_ones_may(server: Server, bundle: str) -> None:
    """And at once: the service reads its scopes again."""
    demo = server.demo()
    named = ["--merchant", demo["merchant_id"]]
    store = ["--store", demo["store_id"]] if bundle == "pos" else []
    made = kafang(
        server, "create-key", *named, "--name", "old", "--bundle", bundle, *store, "--json"
    )
    key = json.loads(made.stdout)
    async with seed.superuser(server.postgres.admin_dsn) as admin:
        await admin.execute(
            "update api_key set scopes = '{cards:read}' where api_key_id = $1", key["api_key_id"]
        )
    async with Client(server.host, server.port, key["token"]) as client:
        assert (await client.get("/v1/members")).status == 403
        done = kafang(server, "refresh-key", *named, "--key", key["api_key_id"], "--json")
        assert json.loads(done.stdout)["scopes"] == key["scopes"], done.stderr
        assert (await client.get("/v1/members")).status == 200
    kafang(server, "revoke-key", *named, "--key", key["api_key_id"])
    done = kafang(server, "refresh-key", *named, "--key", key["api_key_id"])
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no active key" in done.stderr
    done = kafang(server, "refresh-key", "--merchant", "mer_x", "--key", "key_x")
    assert "the merchant mer_x has no active key key_x" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create-store", "--name", "a", "--legal-entity", "b"], "there is no merchant mer_x"),
        (["create-key", "--name", "a"], "bound to a store"),
        (["create-key", "--name", "a", "--bundle", "merchant", "--store", "sto_x"], "merchant key"),
        (["create-key", "--name", "a", "--bundle", "merchant"], "there is no merchant mer_x"),
    ],
)
def test_what_can_not_be_made(server: Server, arguments: list[str], says: str) -> None:
    done = kafang(server, *arguments, "--merchant", "mer_x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kafang: ")
    assert says in done.stderr


def test_a_key_for_a_store_that_is_not_there(server: Server) -> None:
    demo = server.demo()
    named = ["--merchant", demo["merchant_id"], "--name", "a", "--store", "sto_x"]
    done = kafang(server, "create-key", *named)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "kafang: the merchant has no store sto_x\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--currency", "XXX"], "'XXX'"), (["--time-zone", "Mars/Base"], "'Mars/Base'")],
)
def test_a_merchant_that_can_not_be(server: Server, arguments: list[str], says: str) -> None:
    done = kafang(server, "create-merchant", "--name", "a", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr


def test_migrate_has_nothing_left_to_do(server: Server) -> None:
    done = kafang(server, "migrate")
    assert (done.returncode, done.stdout.split()) == (0, ["applied", "nothing"])
    assert json.loads(kafang(server, "migrate", "--json").stdout) == {"applied": []}


async def test_verify_is_clean_on_a_used_database_and_names_a_breach(own: Server) -> None:
    demo = own.demo()
    card = TestCard(demo["card_id"], demo["card_number"])
    async with Client(own.host, own.port, demo["pos_key"]) as pos:
        sale = await shop.sold(pos, card, 8_800)
        assert (await shop.redeem(pos, card, 99_999_999)).status == 409
        answer = await pos.post(f"/v1/redemptions/{sale}/refunds", {}, shop.new_key())
        assert answer.status == 201
    clean = kafang(own, "verify")
    assert clean.returncode == 0, clean.stdout
    assert clean.stdout.splitlines()[-1] == "no breach"
    report = json.loads(kafang(own, "verify", "--json").stdout)
    assert (report["merchants"], report["breaches"]) == (1, [])
    assert report["operations"] >= 5
    statement = "update card set principal = principal + 1 where merchant_id = $1 and card_id = $2"
    await shop.change(
        own.postgres, demo["merchant_id"], statement, demo["merchant_id"], card.card_id
    )
    damaged = kafang(own, "verify")
    assert damaged.returncode == 1
    assert "INV-D2" in damaged.stdout
    assert card.card_id in damaged.stdout
    report = json.loads(kafang(own, "verify", "--json").stdout)
    assert {breach["merchant_id"] for breach in report["breaches"]} == {demo["merchant_id"]}


@pytest.mark.parametrize("same_folder", [True, False])
def test_a_second_service_on_the_same_port_is_refused(
    server: Server, tmp_path: Path, same_folder: bool
) -> None:
    folder = server.data_dir if same_folder else tmp_path
    done = kafang(server, "run", KAFANG_DATA_DIR=str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"127.0.0.1:{server.port} is in use" in done.stderr
    assert "KAFANG_PORT" in done.stderr
    assert same_folder or not list(tmp_path.iterdir())


def test_the_platform_is_one_and_has_people_alone(own: Server) -> None:
    made = kafang(own, "create-platform", "--name", "卡坊", "--json")
    platform_id = json.loads(made.stdout)["merchant_id"]
    of = ("--merchant", platform_id)
    for arguments, says in (
        (("create-platform", "--name", "再来一个"), "there is a platform already"),
        (
            ("create-store", *of, "--name", "一店", "--legal-entity", "卡坊"),
            "is the platform: only people work there",
        ),
        (
            ("create-key", *of, "--name", "x", "--bundle", "merchant"),
            "is the platform: only people work there",
        ),
    ):
        refused = kafang(own, *arguments)
        assert (refused.returncode, says in refused.stderr) == (1, True), refused.stderr
    invited = kafang(own, "create-owner", *of, "--email", "gao.ming@kafang.example", "--json")
    [role] = json.loads(invited.stdout)["user"]["roles"]
    assert (role["role"], role["node_id"]) == ("platform_admin", platform_id)
