"""Card templates over HTTP."""

from schemas.templates import CardTemplate, CardTemplateCreate, CardTemplateList
from service.approvals.operations import APPROVAL_REQUIRED
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.routes import Route
from service.ledger import reasons
from service.templates import operations

EXAMPLE = {
    "name": "金卡",
    "currency": "CNY",
    "holder": "named",
    "numbering": {"prefix": "8800", "digits": 16},
    "max_balance": 500000,
    "drawdown_policy": "pro_rata",
    "top_up_rules": [{"pay": 30000, "bonus": 5000, "bonus_validity": "P1Y"}],
}
CREATE = Route(
    method="POST",
    path="/v1/card-templates",
    operation_id="create_card_template",
    tag="Templates",
    scope="templates:write",
    summary="Publish a stored-value template",
    description="Publishes version 1. A published version never changes; "
    "cards pin the version they were issued under.",
    body=CardTemplateCreate,
    answers={201: CardTemplate},
    example_body=EXAMPLE,
    errors=(reasons.UNPROCESSABLE, reasons.MERCHANT_SUSPENDED, APPROVAL_REQUIRED),
)
READ = Route(
    method="GET",
    path="/v1/card-templates/{template_id}",
    operation_id="get_card_template",
    tag="Templates",
    scope="templates:read",
    summary="Look at a template",
    description="Its latest published version.",
    answers={200: CardTemplate},
    errors=(),
    example_path={"template_id": example_id("tpl")},
)
LIST = Route(
    method="GET",
    path="/v1/card-templates",
    operation_id="list_card_templates",
    tag="Templates",
    scope="templates:read",
    summary="List templates",
    description="Newest first.",
    query=Paging,
    answers={200: CardTemplateList},
    errors=(),
)

HANDLERS = [
    handler(CREATE, operations.create),
    handler(READ, operations.read),
    handler(LIST, operations.browse),
]
