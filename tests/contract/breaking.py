"""What of a changed contract breaks a client that was written against the one before.

Requests may only ask for less, answers may only say more (service/docs/guides/versioning.md).
`breaks(old, new)` is pure; `python -m tests.contract.breaking` makes the present contract the one
that later changes are compared with, which is done when a version is released.
"""

from collections.abc import Iterator
from typing import Any

from tests.harness.server import CONTRACT, ROOT

RELEASED = ROOT / "openapi" / "released.json"
# Where a greater figure asks for more, and where a smaller one does.
LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Every break, each with its place; empty when old clients go on as they are."""
    found: list[str] = []
    paths = _whole(new["paths"], new)
    for path, methods in _whole(old["paths"], old).items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            other = paths.get(path, {}).get(method)
            if other is None:
                found.append(f"{name} is gone")
            else:
                found += (f"{name}: {text}" for text in _operation(operation, other))
    return found


def _operation(before: Any, after: Any) -> Iterator[str]:
    if before["operationId"] != after["operationId"]:
        yield f"is called {after['operationId']} instead of {before['operationId']}"
    if before.get("x-scope") != after.get("x-scope"):
        yield f"needs the scope {after.get('x-scope')} instead of {before.get('x-scope')}"
    yield from _parameters(before, after)
    if "requestBody" in after:
        if "requestBody" not in before:
            yield "wants a body"
        else:
            asked = [_content(each["requestBody"]) for each in (before, after)]
            yield from _asked(asked[0], asked[1], "body")
    for status, answer in before["responses"].items():
        if int(status) < 300:
            if status not in after["responses"]:
                yield f"{status} is gone"
                continue
            shown = [_content(each) for each in (answer, after["responses"][status])]
            yield from _shown(shown[0], shown[1], status)


def _parameters(before: Any, after: Any) -> Iterator[str]:
    known = {_key(p): p for p in before.get("parameters", ())}
    for parameter in after.get("parameters", ()):
        place = f"{parameter['in']} {parameter['name']}"
        earlier = known.pop(_key(parameter), None)
        if earlier is None:
            if parameter["required"]:
                yield f"{place} is required and new"
            continue
        if parameter["required"] and not earlier["required"]:
            yield f"{place} is required now"
        yield from _asked(earlier["schema"], parameter["schema"], place)
    for where, name in known:
        yield f"{where} {name} is gone"


def _asked(before: Any, after: Any, place: str) -> Iterator[str]:
    """What a request that was good before no longer fulfils."""
    before, after = _flat(before), _flat(after)
    if missing := before["kinds"] - after["kinds"]:
        yield f"{place} takes no {', '.join(sorted(missing))} any more"
    if after["enum"] and not (before["enum"] and before["enum"] <= after["enum"]):
        yield f"{place} takes fewer values"
    yield from _bounds(before, after, place)
    for name in after["required"] - before["required"]:
        yield f"{place}.{name} is required now"
    for name, field in before["properties"].items():
        if name not in after["properties"]:
            yield f"{place}.{name} is taken no more"
        else:
            yield from _asked(field, after["properties"][name], f"{place}.{name}")
    if before["items"] and after["items"]:
        yield from _asked(before["items"], after["items"], f"{place}[]")


def _bounds(before: Any, after: Any, place: str) -> Iterator[str]:
    for name in LOWER_BOUNDS:
        if after["bounds"].get(name, float("-inf")) > before["bounds"].get(name, float("-inf")):
            yield f"{place}: {name} is greater"
    for name in UPPER_BOUNDS:
        if after["bounds"].get(name, float("inf")) < before["bounds"].get(name, float("inf")):
            yield f"{place}: {name} is smaller"
    if after["bounds"].get("pattern") not in (None, before["bounds"].get("pattern")):
        yield f"{place}: another pattern"


def _shown(before: Any, after: Any, place: str) -> Iterator[str]:
    """What of an answer a client may miss, or not expect; a new value of an enumeration it must."""
    before, after = _flat(before), _flat(after)
    if added := after["kinds"] - before["kinds"]:
        yield f"{place} may be {', '.join(sorted(added))} now"
    if before["enum"] and not after["enum"]:
        yield f"{place} may be anything now"
    for name in before["required"] - after["required"]:
        yield f"{place}.{name} may be missing now"
    for name, field in before["properties"].items():
        if name in after["properties"]:
            yield from _shown(field, after["properties"][name], f"{place}.{name}")
        elif name not in before["required"]:
            yield f"{place}.{name} is gone"
    if before["items"] and after["items"]:
        yield from _shown(before["items"], after["items"], f"{place}[]")


def _flat(schema: Any) -> dict[str, Any]:
    """What a schema says, with its alternatives put together."""
    flat: dict[str, Any] = {
        "kinds": set(), "enum": set(), "required": set(), "properties": {}, "items": None,
        "bounds": {},
    }  # fmt: skip
    for part in (schema, *schema.get("anyOf", ())):
        kind = part.get("type")
        flat["kinds"] |= {kind} if isinstance(kind, str) else set(kind or ())
        flat["enum"] |= set(part.get("enum", ()))
        if "enum" in part and not kind:
            flat["kinds"].add("string")
        flat["required"] |= set(part.get("required", ()))
        flat["properties"] |= part.get("properties", {})
        flat["items"] = part.get("items", flat["items"])
        names = (*LOWER_BOUNDS, *UPPER_BOUNDS, "pattern")
        flat["bounds"] |= {name: part[name] for name in names if name in part}
    return flat


def _content(holder: Any) -> Any:
    return next(iter(holder["content"].values()))["schema"]


def _whole(part: Any, document: Any) -> Any:
    """The part with what its references stand for in their places."""
    if isinstance(part, list):
        return [_whole(each, document) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _whole(resolved(part, document), document)
    return {name: _whole(each, document) for name, each in part.items()}


def resolved(part: Any, document: Any) -> Any:
    """What a reference into the document stands for; anything else is itself."""
    if "$ref" not in part:
        return part
    found = document
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def _key(parameter: Any) -> tuple[str, str]:
    return parameter["in"], parameter["name"]


if __name__ == "__main__":
    RELEASED.write_text(CONTRACT.read_text("utf-8"), "utf-8")
