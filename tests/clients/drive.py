"""The main flow with the client that openapi-python-client makes; run as a program by the test.

Prints what is left on the card and the kinds of its statement. Typed only once it is generated.
"""

import json
import sys

from kafang_client import AuthenticatedClient, models  # type: ignore[import-not-found]
from kafang_client.api.cards import (  # type: ignore[import-not-found]
    activate_card,
    get_statement,
    issue_card,
)
from kafang_client.api.redemptions import (  # type: ignore[import-not-found]
    create_redemption,
    create_refund,
)
from kafang_client.api.top_ups import create_top_up  # type: ignore[import-not-found]


def main(base: str, office_key: str, till_key: str, template_id: str, store_id: str) -> None:
    """Issue, activate, top up, redeem, refund, statement, and a refusal."""
    office = AuthenticatedClient(base, token=office_key)
    till = AuthenticatedClient(base, token=till_key)
    card = issue_card.sync(
        client=office,
        body=models.CardCreate(template_id=template_id, activate=False),
        idempotency_key="python-issue",
    )
    activate_card.sync(
        card.id, client=office, body=models.CardAction(), idempotency_key="python-activate"
    )
    top_up = models.TopUpCreate(
        amount=models.Amount(value=30000, currency="CNY"),
        tender=models.TopUpCreateTender.WECHAT_PAY,
        payment_reference="4200002026030100481",
        store_id=store_id,
    )
    create_top_up.sync(card.id, client=office, body=top_up, idempotency_key="python-top-up")
    sale = create_redemption.sync(
        client=till, body=_sale(card.card_number, 8800), idempotency_key="python-redeem"
    )
    create_refund.sync(
        sale.id,
        client=till,
        body=models.RefundCreate(amount=models.Amount(value=3000, currency="CNY")),
        idempotency_key="python-refund",
    )
    refused = create_redemption.sync(
        client=till, body=_sale(card.card_number, 10**8), idempotency_key="python-refused"
    )
    statement = get_statement.sync(card.id, client=office)
    told = {
        "kinds": [str(line.kind) for line in statement.data],
        "left": statement.data[-1].principal + statement.data[-1].bonus,
        "refused": [refused.code, refused.reasons[0].code],
    }
    print(json.dumps(told))


def _sale(number: str, value: int) -> models.RedemptionCreate:
    return models.RedemptionCreate(
        request_no=f"python-{value}",
        amount=models.Amount(value=value, currency="CNY"),
        sources=[models.Source(card_number=number)],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
