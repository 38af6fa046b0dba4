"""A card with ten thousand movements: all of it at once, in each form."""

from io import BytesIO

from pypdf import PdfReader

from service.kernel.embedded import Server
from tests.api.test_records import out_of_step
from tests.bench import seed
from tests.conftest import ClientOf
from tests.records.test_chain import checked

MOVEMENTS = 10_000


async def test_CN_S_25_ten_thousand_movements_come_at_once(
    postgres: Server, client_of: ClientOf
) -> None:
    async with seed.superuser(postgres.admin_dsn) as admin:
        (merchant,) = await seed.seed(admin, 1, 1, MOVEMENTS)
    card_id = "crd_" + "0" * 26
    async with client_of(merchant.token, timeout_s=120.0) as client:
        found = {}
        for form in ("json", "html", "pdf"):
            found[form] = await client.get(f"/v1/cards/{card_id}/record?format={form}")
            assert found[form].status == 200, found[form].body
            assert "next-cursor" not in found[form].headers
        over = await client.get(f"/v1/cards/{card_id}/record?limit={MOVEMENTS - 1}")
    record = found["json"].json()
    assert len(record["movements"]) == record["movement_count"] == MOVEMENTS
    assert out_of_step(record, record["movements"]) == []
    checked(record)
    last = record["movements"][-1]["operation_id"]
    assert found["html"].body.decode("utf-8").count(last) == 1
    pages = PdfReader(BytesIO(found["pdf"].body)).pages
    assert last in "".join(page.extract_text() for page in pages[-2:])
    assert over.json()["next_cursor"] == over.headers["next-cursor"]
