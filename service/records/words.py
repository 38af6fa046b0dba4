"""A record's words: the contract in sentences, and the labels of its pages, in each language."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from schemas.records import Language
from schemas.templates import CardTemplateCreate
from service.kernel.money import written
from service.rules import periods

# A contract for more stores names so many of them and counts the rest.
STORES_NAMED_MAX = 50


@cache
def words() -> dict[str, dict[str, str]]:
    """Every word by language and key."""
    text = files("service.records").joinpath("words.toml").read_text("utf-8")
    return tomllib.loads(text)


def terms(rules: CardTemplateCreate, stores: Mapping[str, str], language: Language) -> list[str]:
    """The rules of a template in sentences; `stores` are names by id."""
    told = words()[language]
    currency, policy = rules.currency, rules.drawdown_policy
    valid = told["term_valid_always"]
    if rules.validity is not None:
        valid = told["term_valid_for"].format(period=_period(rules.validity.period, told))
    way = "pro_rata" if policy == "pro_rata" else "ordered"
    return [
        told["term_name"].format(name=rules.name, holder=told[rules.holder], currency=currency),
        valid,
        _stores(rules, stores, told),
        told["term_max"].format(value=written(rules.max_balance, currency)),
        *_ladder(rules, told),
        told[f"term_{policy}"],
        told[f"term_refund_{way}"],
        *([told["term_lapse"]] if any(s.bonus_validity for s in rules.top_up_rules) else []),
        told["term_beyond"],
    ]


def _stores(rules: CardTemplateCreate, names: Mapping[str, str], told: dict[str, str]) -> str:
    ids = rules.stores.ids
    named = told["list_join"].join(names.get(one, one) for one in ids[:STORES_NAMED_MAX])
    if len(ids) > STORES_NAMED_MAX:
        named = told["term_stores_more"].format(stores=named, count=len(ids))
    return told[f"term_stores_{rules.stores.mode}"].format(stores=named or told["nothing"])


def _ladder(rules: CardTemplateCreate, told: dict[str, str]) -> list[str]:
    if not rules.top_up_rules:
        return [told["term_no_steps"]]
    steps = []
    for step in sorted(rules.top_up_rules, key=lambda step: step.pay):
        valid = ""
        if step.bonus_validity is not None:
            valid = told["term_step_valid"].format(period=_period(step.bonus_validity, told))
        pay, bonus = written(step.pay, rules.currency), written(step.bonus, rules.currency)
        steps.append(told["term_step"].format(pay=pay, bonus=bonus, valid=valid))
    return [*steps, told["term_steps"]]


def _period(text: str, told: dict[str, str]) -> str:
    period = periods.parse(text)
    years, months = divmod(period.months, 12)
    parts = {"period_years": years, "period_months": months, "period_days": period.days}
    return told["period_join"].join(
        told[name].format(count=count) for name, count in parts.items() if count
    )
