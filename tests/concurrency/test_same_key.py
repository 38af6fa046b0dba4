"""One key, one effect: many times at once, on two cards at once, and against its own reversal."""

from tests.concurrency.crowd import (
    SIZE,
    Request,
    codes,
    crowd_of,
    look,
    make_cards,
    redeem,
    replayed,
    reverse,
    worth,
)
from tests.harness.server import Server
from tests.harness.tenant import Tenant

ROUNDS = 200
PRICE = 100
RICH = 10_000_000


async def test_one_key_64_times_at_once_has_one_effect(server: Server, tenant: Tenant) -> None:
    """Promise: however many send it, one effect, and one answer in the same bytes for all."""
    store_id = tenant.store_ids[0]
    async with crowd_of(server, tenant.merchant_key) as crowd:
        (card,) = await make_cards(crowd, tenant, 1, RICH, "same-key")
        for number in range(ROUNDS):
            if number % 2:
                body = {
                    "amount": {"value": PRICE, "currency": "CNY"},
                    "tender": "cash",
                    "store_id": store_id,
                }
                request = Request(f"/v1/cards/{card.card_id}/top-ups", body, f"same-{number:03d}")
            else:
                request = redeem(card, PRICE, f"same-{number:03d}", store_id=store_id)
            answers = await crowd.release([request] * SIZE)
            assert {answer.status for answer in answers} == {201}
            assert len({answer.body for answer in answers}) == 1
            assert [replayed(answer) for answer in answers].count(False) == 1
            # One step up and one step down, in turn.
            left = worth(RICH) - (0 if number % 2 else PRICE)
            assert answers[0].json()["card"]["balances"]["total"] == left
        now = await look(crowd.clients[0], card)
        assert (now["version"], now["balances"]["total"]) == (2 + ROUNDS, worth(RICH))


async def test_a_key_on_two_cards_has_one_effect_and_hurts_nobody(
    server: Server, tenant: Tenant
) -> None:
    """Promise: a key with another body is refused before any effect, and its batch is not hurt.

    Key a goes to card 1 and to card 2, key b to card 2 and to card 1, and other redemptions of
    the cards come with them.
    """
    store_id = tenant.store_ids[0]
    async with crowd_of(server, tenant.merchant_key) as crowd:
        cards = await make_cards(crowd, tenant, 16, RICH, "crossed")
        spent = dict.fromkeys((card.card_id for card in cards), 0)
        for number in range(ROUNDS // 2):
            wave = []
            for group in range(8):
                one, two = cards[2 * group : 2 * group + 2]
                name = f"cross-{number:03d}-{group}"
                for card, part in ((one, "a"), (two, "b"), (one, "p"), (two, "q")):
                    wave.append(redeem(card, PRICE, f"{name}-{part}", store_id=store_id))
                for card, part in ((two, "a"), (one, "b"), (one, "r"), (two, "s")):
                    wave.append(redeem(card, PRICE, f"{name}-{part}", store_id=store_id))
            answers = await crowd.release(wave)
            for group in range(8):
                a1, b2, p, q, a2, b1, r, s = answers[8 * group : 8 * group + 8]
                assert [answer.status for answer in (p, q, r, s)] == [201] * 4
                for pair in ((a1, a2), (b1, b2)):
                    done, refused = sorted(pair, key=lambda answer: answer.status)
                    assert (done.status, refused.status) == (201, 422), pair
                    assert codes(refused) == ["idempotency_key_reused"]
            for answer in answers:
                if answer.status == 201:
                    spent[answer.json()["card"]["card_id"]] += PRICE
        for card in cards:
            now = await look(crowd.clients[0], card)
            assert now["balances"]["total"] == worth(RICH) - spent[card.card_id]
        assert sum(spent.values()) == ROUNDS // 2 * 8 * 6 * PRICE


async def test_a_reversal_racing_its_request_leaves_no_effect(
    server: Server, tenant: Tenant
) -> None:
    """Promise: undone, or blocked and refused on arrival; in both cases no value has moved.

    Each of 8 requests of a wave is sent twice and reversed twice, at once; who is first alternates.
    """
    store_id = tenant.store_ids[0]
    seen: dict[tuple[str, ...], int] = {}
    async with crowd_of(server, tenant.merchant_key, 4 * 8) as crowd:
        cards = await make_cards(crowd, tenant, 8, RICH, "undone")
        for number in range(ROUNDS):
            wave = []
            for group, card in enumerate(cards):
                key = f"undo-{number:03d}-{group}"
                sale = redeem(card, PRICE, key, store_id=store_id)
                undo = [reverse(key, f"{key}-{part}") for part in ("x", "y")]
                wave += [sale, sale, *undo] if number % 2 else [*undo, sale, sale]
            answers = await crowd.release(wave)
            for group in range(8):
                four = answers[4 * group : 4 * group + 4]
                sales, undos = (four[:2], four[2:]) if number % 2 else (four[2:], four[:2])
                assert [undo.status for undo in undos] == [201, 201], undos
                outcomes = tuple(sorted(undo.json()["outcome"] for undo in undos))
                seen[outcomes] = seen.get(outcomes, 0) + 1
                if outcomes == ("blocked", "blocked"):
                    for sale_answer in sales:
                        assert codes(sale_answer) == ["reversed_before_arrival"]
                else:
                    assert outcomes == ("nothing_to_reverse", "reversed")
                    assert [sale_answer.status for sale_answer in sales] == [201, 201]
                    assert sales[0].body == sales[1].body
        for card in cards:
            assert (await look(crowd.clients[0], card))["balances"]["total"] == worth(RICH)
    print(seen)
    assert len(seen) == 2, "one of the two ends never came: the race was none"
