"""One card, 64 clients: no double spend (THREAT-T1), and one redemption for one request number."""

import pytest

from tests.concurrency.crowd import SIZE, codes, crowd_of, look, make_cards, redeem
from tests.harness.server import Server
from tests.harness.tenant import Tenant

ROUNDS = 200
PRICE = 100


@pytest.mark.parametrize("k", [1, 7, 63])
async def test_T1_exactly_k_of_64_redemptions_pass_on_a_card_worth_k(
    k: int, server: Server, tenant: Tenant
) -> None:
    """Promise: a card is never overspent and never underused, whatever comes at once."""
    store_id = tenant.store_ids[0]
    async with crowd_of(server, tenant.merchant_key) as crowd:
        cards = await make_cards(crowd, tenant, ROUNDS, k * PRICE, f"worth-{k}")
        for number, card in enumerate(cards):
            wave = [
                redeem(card, PRICE, f"k{k}-{number:03d}-{n:02d}", store_id=store_id)
                for n in range(SIZE)
            ]
            answers = await crowd.release(wave)
            passed = [answer.json()["card"] for answer in answers if answer.status == 201]
            refused = [codes(answer) for answer in answers if answer.status == 409]
            assert len(passed) == k
            assert refused == [["redemption_refused", "insufficient_balance"]] * (SIZE - k)
            # The k that passed are k steps down to zero, each seen by exactly one client.
            steps = sorted((after["version"], after["balances"]["total"]) for after in passed)
            assert steps == [(3 + n, (k - 1 - n) * PRICE) for n in range(k)]
            now = await look(crowd.clients[0], card)
            assert (now["version"], now["balances"]["total"]) == (2 + k, 0)


async def test_one_request_number_under_two_keys_is_captured_once(
    server: Server, tenant: Tenant
) -> None:
    """Promise: one request number of a store is one sale; the other key is told which one it is.

    Each wave holds 8 groups: a request number under two keys on one card, another under two keys on
    two cards, and in between redemptions of the same cards that must not be hurt.
    """
    store_id = tenant.store_ids[0]
    async with crowd_of(server, tenant.merchant_key) as crowd:
        cards = await make_cards(crowd, tenant, 24, 10_000 * PRICE, "numbers")
        for number in range(ROUNDS):
            wave = []
            for group in range(8):
                first, second, third = cards[3 * group : 3 * group + 3]
                name = f"no-{number:03d}-{group}"
                both = ((first, "a"), (first, "b"), (second, "c"), (third, "d"))
                for card, part in both:
                    no = f"{name}-one" if card is first else f"{name}-two"
                    key = f"{name}-{part}"
                    wave.append(redeem(card, PRICE, key, store_id=store_id, request_no=no))
                for card, part in ((first, "p"), (second, "q"), (third, "r"), (second, "s")):
                    wave.append(redeem(card, PRICE, f"{name}-{part}", store_id=store_id))
            answers = await crowd.release(wave)
            for group in range(8):
                a, b, c, d, *innocent = answers[8 * group : 8 * group + 8]
                assert [answer.status for answer in innocent] == [201] * 4, innocent
                for pair in ((a, b), (c, d)):
                    winner, loser = sorted(pair, key=lambda answer: answer.status)
                    assert (winner.status, loser.status) == (201, 409), (winner, loser)
                    assert codes(loser) == ["duplicate_request_no", "request_no_taken"]
                    assert loser.json()["reasons"][0]["existing_id"] == winner.json()["id"]
