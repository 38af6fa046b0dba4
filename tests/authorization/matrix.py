"""Who may do what, kept by hand: a line for each route, a letter for each role.

`A`: anywhere in the merchant. `O`: at one's own stores, refused at others. `X`: only with what one
did oneself. `-`: not at all. A `!` after a route's name: people need a second factor. Behind it
what the route is about, whose owner and state are varied.
"""

# People: owner, template designer, checker, finance, area manager, store manager, cashier,
# developer, auditor, store manager and cashier of a franchisee (whose contract allows looking at
# cards and redeeming them). Then API keys: a till's, a franchisee's till's, the merchant's own.
ROLES = ("own", "tpl", "chk", "fin", "are", "sto", "csh", "dev", "aud", "fsm", "fcs")
KEYS = ("till", "ftil", "mkey")
COLUMNS = (*ROLES, *KEYS)
# The stores that each of them is there for; who isn't named is there for none.
REACH = {
    "are": {"own", "sibling"},
    "sto": {"own"},
    "csh": {"own"},
    "till": {"own"},
    "fsm": {"franchise"},
    "fcs": {"franchise"},
    "ftil": {"franchise"},
}
TABLE = """
                                    own tpl chk fin are sto csh dev aud fsm fcs till ftil mkey
create_card_template   merchant     A   A   -   -   -   -   -   -   -   -   -   -    -    A
list_card_templates    merchant     A   A   A   A   -   -   -   A   A   -   -   -    -    A
get_card_template      template     A   A   A   A   -   -   -   A   A   -   -   -    -    A
issue_card!            merchant     A   -   -   -   -   A   A   -   -   -   -   A    -    A
activate_card!         card         A   -   -   -   -   A   A   -   -   -   -   A    -    A
look_up_card           number       A   -   A   A   A   A   A   A   A   A   A   A    A    A
get_card               card         A   -   A   A   A   A   A   A   A   A   A   A    A    A
get_statement          card         A   -   A   A   A   A   A   A   A   A   A   A    A    A
get_card_record        card         A   -   A   A   A   A   A   A   A   A   A   A    A    A
freeze_card            card         A   -   -   A   -   A   -   -   -   -   -   -    -    A
unfreeze_card          card         A   -   -   A   -   A   -   -   -   -   -   -    -    A
create_member!         merchant     A   -   -   -   -   A   A   -   -   -   -   A    -    A
list_members!          merchant     A   -   -   -   A   A   A   -   -   -   -   A    -    A
look_up_member!        merchant     A   -   -   -   A   A   A   -   -   -   -   A    -    A
get_member!            member       A   -   -   -   A   A   A   -   -   -   -   A    -    A
list_member_cards!     member       A   -   -   -   A   A   A   -   -   -   -   A    -    A
change_member_phone!   member       A   -   -   -   -   A   A   -   -   -   -   A    -    A
change_member_name!    member       A   -   -   -   -   A   A   -   -   -   -   A    -    A
unmask_member!         member       A   -   -   -   -   -   -   -   -   -   -   -    -    -
copy_member_data!      member       A   -   -   -   -   -   -   -   -   -   -   -    -    -
erase_member!          member       A   -   -   -   -   -   -   -   -   -   -   -    -    -
place_legal_hold!      member       A   -   A   -   -   -   -   -   -   -   -   -    -    -
list_legal_holds!      member       A   -   A   -   -   -   -   -   -   -   -   -    -    -
release_legal_hold!    hold         A   -   A   -   -   -   -   -   -   -   -   -    -    -
bind_card!             member       A   -   -   -   -   A   A   -   -   -   -   A    -    A
unbind_card!           member       A   -   -   -   -   A   A   -   -   -   -   A    -    A
issue_member_token     member       -   -   -   -   -   -   -   -   -   -   -   -    -    A
sign_out_member        member       -   -   -   -   -   -   -   -   -   -   -   -    -    A
create_top_up!         till         A   -   -   -   -   O   O   -   -   -   -   O    -    A
quote_redemption!      sale         A   -   -   -   -   O   O   -   -   O   O   O    O    A
create_redemption!     sale         A   -   -   -   -   O   O   -   -   O   O   O    O    A
find_redemptions       at           A   -   A   A   O   O   O   -   A   O   O   O    O    A
get_last_operation     last         A   -   A   A   O   O   O   -   A   O   O   O    O    A
get_redemption         redemption   A   -   A   A   O   O   O   -   A   O   O   O    O    A
get_receipt            redemption   A   -   A   A   O   O   O   -   A   O   O   O    O    A
create_refund!         redemption   A   -   -   A   O   O   O   -   -   -   -   O    -    A
void_redemption!       redemption   A   -   -   A   O   O   O   -   -   -   -   O    -    A
create_reversal!       request      A   -   -   A   -   O   X   -   -   -   -   X    -    A
get_day                day          A   -   -   A   O   O   O   -   A   -   -   O    -    A
close_day              day          A   -   -   -   -   O   -   -   -   -   -   O    -    A
reopen_day             day          A   -   -   A   O   -   -   -   -   -   -   -    -    A
report_liability       merchant     A   -   A   A   -   -   -   -   A   -   -   -    -    A
report_movements       merchant     A   -   A   A   -   -   -   -   A   -   -   -    -    A
report_settlements     merchant     A   -   A   A   -   -   -   -   A   -   -   -    -    A
report_operations      merchant     A   -   A   A   -   -   -   -   A   -   -   -    -    A
list_events            merchant     A   -   -   A   -   -   -   A   A   -   -   -    -    A
list_audit_entries     merchant     A   -   A   -   -   -   -   -   A   -   -   -    -    A
move_test_clock        merchant     A   -   -   -   -   -   -   A   -   -   -   -    -    A
create_store!          merchant     A   -   -   -   -   -   -   -   -   -   -   -    -    A
list_stores            merchant     A   A   A   A   A   A   -   A   A   -   -   -    -    A
get_store              store        A   A   A   A   O   O   -   A   A   -   -   -    -    A
move_store!            store        A   -   -   -   -   -   -   -   -   -   -   -    -    A
list_policies          merchant     A   A   A   A   A   A   -   A   A   -   -   -    -    A
get_policy             store        A   A   A   A   O   O   -   A   A   -   -   -    -    A
change_policy!         store        A   -   -   -   O   O   -   -   -   -   -   -    -    -
create_area!           merchant     A   -   -   -   -   -   -   -   -   -   -   -    -    A
list_areas             merchant     A   A   A   A   A   A   -   A   A   -   -   -    -    A
move_area!             area         A   -   -   -   -   -   -   -   -   -   -   -    -    A
invite_user!           node         A   -   -   -   O   O   -   -   -   -   -   -    -    -
list_users!            merchant     A   -   -   -   A   A   -   -   A   -   -   -    -    -
get_user!              user         A   -   -   -   O   O   -   -   A   -   -   -    -    -
disable_user!          user         A   -   -   -   O   O   -   -   -   -   -   -    -    -
enable_user!           user         A   -   -   -   O   O   -   -   -   -   -   -    -    -
reset_user!            user         A   -   -   -   O   O   -   -   -   -   -   -    -    -
give_role!             user         A   -   -   -   O   O   -   -   -   -   -   -    -    -
revoke_role!           user         A   -   -   -   O   O   -   -   -   -   -   -    -    -
list_roles             merchant     A   A   A   A   A   A   A   A   A   A   A   -    -    -
get_me                 merchant     A   A   A   A   A   A   A   A   A   A   A   -    -    -
change_password        merchant     A   A   A   A   A   A   A   A   A   A   A   -    -    -
begin_totp             merchant     A   A   A   A   A   A   A   A   A   A   A   -    -    -
confirm_totp           merchant     A   A   A   A   A   A   A   A   A   A   A   -    -    -
list_sessions          merchant     A   A   A   A   A   A   A   A   A   A   A   -    -    -
end_session            session      A   A   A   A   A   A   A   A   A   A   A   -    -    -
sign_out               merchant     A   A   A   A   A   A   A   A   A   A   A   -    -    -
create_api_key!        merchant     A   -   -   -   -   -   -   A   -   -   -   -    -    -
list_api_keys          merchant     A   -   -   -   -   -   -   A   A   -   -   -    -    -
rotate_api_key!        key          A   -   -   -   -   -   -   A   -   -   -   -    -    -
revoke_api_key!        key          A   -   -   -   -   -   -   A   -   -   -   -    -    -
list_approvals         merchant     A   A   A   A   A   A   A   A   A   -   -   A    -    A
get_approval           approval     A   A   A   A   O   O   O   A   A   -   -   O    -    A
approve!               approval     A   -   A   A   O   O   -   -   -   -   -   -    -    -
reject!                approval     A   -   A   A   O   O   -   -   -   -   -   -    -    -
get_authority          merchant     A   A   A   A   A   A   A   A   A   -   -   A    -    A
change_authority!      merchant     A   -   -   -   -   -   -   -   -   -   -   -    -    -
begin_visit!           merchant     -   -   -   -   -   -   -   -   -   -   -   -    -    -
list_visits            merchant     A   -   A   -   -   -   -   -   A   -   -   -    -    -
end_visit!             visit        A   -   -   -   -   -   -   -   -   -   -   -    -    -
"""
# The platform's people as visitors of the merchant: admin, reviewer, senior reviewer, finance,
# compliance, support; then the same in the platform's own tenant, where all of a merchant's is
# another's.
VISITORS = ("vad", "vrv", "vsr", "vfi", "vcm", "vsu")
PLATFORM = ("pad", "prv", "psr", "pfi", "pcm", "psu")
SIGNED_IN = (*ROLES, *PLATFORM)
PLATFORM_TABLE = """
                          vad vrv vsr vfi vcm vsu  pad prv psr pfi pcm psu
create_card_template      -   -   -   -   -   -    -   -   -   -   -   -
list_card_templates       -   A   A   A   A   A    -   -   -   -   -   -
get_card_template         -   A   A   A   A   A    -   -   -   -   -   -
issue_card                -   -   -   -   -   -    -   -   -   -   -   -
activate_card             -   -   -   -   -   -    -   -   -   -   -   -
look_up_card              -   -   -   A   A   A    -   -   -   -   -   -
get_card                  -   -   -   A   A   A    -   -   -   -   -   -
get_statement             -   -   -   A   A   A    -   -   -   -   -   -
get_card_record           -   -   -   A   A   A    -   -   -   -   -   -
freeze_card               -   -   -   -   -   -    -   -   -   -   -   -
unfreeze_card             -   -   -   -   -   -    -   -   -   -   -   -
create_member             -   -   -   -   -   -    -   -   -   -   -   -
list_members              -   -   -   -   A   -    -   -   -   -   -   -
look_up_member            -   -   -   -   A   -    -   -   -   -   -   -
get_member                -   -   -   -   A   -    -   -   -   -   -   -
list_member_cards         -   -   -   -   A   -    -   -   -   -   -   -
change_member_phone       -   -   -   -   -   -    -   -   -   -   -   -
change_member_name        -   -   -   -   -   -    -   -   -   -   -   -
unmask_member             -   -   -   -   A   -    -   -   -   -   -   -
copy_member_data          -   -   -   -   A   -    -   -   -   -   -   -
erase_member              -   -   -   -   -   -    -   -   -   -   -   -
place_legal_hold          -   -   -   -   -   -    -   -   -   -   -   -
list_legal_holds          -   -   -   -   -   -    -   -   -   -   -   -
release_legal_hold        -   -   -   -   -   -    -   -   -   -   -   -
bind_card                 -   -   -   -   -   -    -   -   -   -   -   -
unbind_card               -   -   -   -   -   -    -   -   -   -   -   -
issue_member_token        -   -   -   -   -   -    -   -   -   -   -   -
sign_out_member           -   -   -   -   -   -    -   -   -   -   -   -
create_top_up             -   -   -   -   -   -    -   -   -   -   -   -
quote_redemption          -   -   -   -   -   -    -   -   -   -   -   -
create_redemption         -   -   -   -   -   -    -   -   -   -   -   -
find_redemptions          -   -   -   A   A   A    -   -   -   -   -   -
get_last_operation        -   -   -   A   A   A    -   -   -   -   -   -
get_redemption            -   -   -   A   A   A    -   -   -   -   -   -
get_receipt               -   -   -   A   A   A    -   -   -   -   -   -
create_refund             -   -   -   -   -   -    -   -   -   -   -   -
void_redemption           -   -   -   -   -   -    -   -   -   -   -   -
create_reversal           -   -   -   -   -   -    -   -   -   -   -   -
get_day                   -   -   -   A   -   A    -   -   -   -   -   -
close_day                 -   -   -   -   -   -    -   -   -   -   -   -
reopen_day                -   -   -   -   -   -    -   -   -   -   -   -
report_liability          -   -   -   A   A   -    -   -   -   -   -   -
report_movements          -   -   -   A   A   -    -   -   -   -   -   -
report_settlements        -   -   -   A   A   -    -   -   -   -   -   -
report_operations         -   -   -   A   A   -    -   -   -   -   -   -
list_events               -   -   -   -   -   A    -   -   -   -   -   -
list_audit_entries        A   -   A   -   A   -    A   -   -   -   A   -
move_test_clock           -   -   -   -   -   -    -   -   -   -   -   -
create_store              -   -   -   -   -   -    -   -   -   -   -   -
list_stores               A   A   A   A   A   A    -   -   -   -   -   -
get_store                 A   A   A   A   A   A    -   -   -   -   -   -
move_store                -   -   -   -   -   -    -   -   -   -   -   -
list_policies             A   A   A   A   A   A    -   -   -   -   -   -
get_policy                A   A   A   A   A   A    -   -   -   -   -   -
change_policy             -   -   -   -   -   -    -   -   -   -   -   -
create_area               -   -   -   -   -   -    -   -   -   -   -   -
list_areas                A   A   A   A   A   A    -   -   -   -   -   -
move_area                 -   -   -   -   -   -    -   -   -   -   -   -
invite_user               -   -   -   -   -   -    A   -   -   -   -   -
list_users                A   A   A   -   A   A    A   -   -   -   A   -
get_user                  A   A   A   -   A   A    A   -   -   -   A   -
disable_user              -   -   -   -   -   -    A   -   -   -   -   -
enable_user               -   -   -   -   -   -    A   -   -   -   -   -
reset_user                -   -   -   -   -   -    A   -   -   -   -   -
give_role                 -   -   -   -   -   -    A   -   -   -   -   -
revoke_role               -   -   -   -   -   -    A   -   -   -   -   -
list_roles                A   A   A   A   A   A    A   A   A   A   A   A
get_me                    A   A   A   A   A   A    A   A   A   A   A   A
change_password           A   A   A   A   A   A    A   A   A   A   A   A
begin_totp                A   A   A   A   A   A    A   A   A   A   A   A
confirm_totp              A   A   A   A   A   A    A   A   A   A   A   A
list_sessions             A   A   A   A   A   A    A   A   A   A   A   A
end_session               A   A   A   A   A   A    A   A   A   A   A   A
sign_out                  A   A   A   A   A   A    A   A   A   A   A   A
create_api_key            -   -   -   -   -   -    -   -   -   -   -   -
list_api_keys             A   -   -   -   -   A    -   -   -   -   -   -
rotate_api_key            -   -   -   -   -   -    -   -   -   -   -   -
revoke_api_key            -   -   -   -   -   -    -   -   -   -   -   -
list_approvals            -   -   A   -   A   A    -   -   -   -   -   -
get_approval              -   -   A   -   A   A    -   -   -   -   -   -
approve                   -   -   -   -   -   -    -   -   -   -   -   -
reject                    -   -   -   -   -   -    -   -   -   -   -   -
get_authority             -   -   A   -   A   A    -   -   -   -   -   -
change_authority          -   -   -   -   -   -    -   -   -   -   -   -
begin_visit               -   -   -   -   -   -    A   A   A   A   A   A
list_visits               A   -   A   -   A   -    A   -   A   -   A   -
end_visit                 -   -   -   -   -   -    A   -   -   -   -   -
"""
# For everybody, also without a credential.
OPEN = {"list_error_codes", "live", "ready", "sign_in", "redeem_ticket"}
STORES = ("own", "sibling", "other", "franchise", "foreign", "absent")
OURS = ("ours", "foreign", "absent")
# What a route is about: whose it can be, and the states it can be in.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "merchant": (("ours",), ("",)),
    "template": (OURS, ("published",)),
    "card": (OURS, ("created", "active", "frozen")),
    # By number a card that isn't active yet is answered like none.
    "number": (("ours",), ("active", "frozen")),
    "member": (OURS, ("with a card", "without")),
    "hold": (OURS, ("placed", "released")),
    "till": (STORES, ("created", "active", "frozen")),
    "sale": (STORES, ("active", "frozen")),
    "at": (STORES, ("",)),
    "last": (STORES, ("",)),
    "redemption": (STORES, ("partly refunded", "refunded", "voided")),
    "request": (STORES, ("refunded", "voided", "refused")),
    "day": (STORES, ("open", "closed")),
    "store": (STORES, ("active",)),
    "area": (OURS, ("at the top", "inside")),
    "node": (STORES, ("",)),
    "user": (STORES, ("invited", "active", "disabled")),
    "session": (("ours", "another's", "foreign", "absent"), ("",)),
    "key": (OURS, ("active", "revoked")),
    "approval": (STORES, ("open", "rejected")),
    "visit": (OURS, ("open", "over")),
}
# Named in a body or a query: nothing is told of what isn't there, it is a fault of the request.
NAMED = {"till", "sale", "at", "node", "request"}


def rows() -> dict[str, tuple[str, bool, dict[str, str]]]:
    """Of each route what it is about, whether it wants a second factor, and its letters."""
    found = {}
    others = _letters(PLATFORM_TABLE, (*VISITORS, *PLATFORM), 1)
    for name, (words, row) in _letters(TABLE, COLUMNS, 2).items():
        _, more = others.pop(name.rstrip("!"))
        found[name.rstrip("!")] = (words[1], name.endswith("!"), row | more)
    assert not others
    return found


def _letters(
    table: str, columns: tuple[str, ...], heads: int
) -> dict[str, tuple[list[str], dict[str, str]]]:
    head, *lines = table.strip().splitlines()
    assert tuple(head.split()) == columns
    found = {}
    for line in lines:
        words = line.split()
        row = dict(zip(columns, words[heads:], strict=True))
        found[words[0]] = (words[:heads], row)
    return found


def expected(letter: str, column: str, kind: str, relation: str) -> str:
    """What the request is answered: ok is neither 401, 403 nor 404."""
    if letter == "-":
        return "403"
    if column in PLATFORM and kind == "visit" and relation == "foreign":
        return "ok"  # every visit is the platform's, too
    if kind == "request" and relation in ("foreign", "absent"):
        return "ok"
    if letter == "X":
        return "403"
    if relation in ("foreign", "absent", "another's"):
        if kind in NAMED:
            return "ok" if letter == "A" else "403"
        return "403" if kind in ("day", "last") and letter == "O" else "404"
    if letter == "A" or relation in REACH[column]:
        return "ok"
    return "404" if kind == "user" else "403"
