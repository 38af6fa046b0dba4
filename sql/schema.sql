-- Made from the migrations by `make schema`. To read, not to run or to edit.

grant usage on schema public to kafang_app;
grant usage on schema public to PUBLIC;

create type card_image_v1 as (
    component integer,
    card_id text,
    status text,
    version bigint,
    principal bigint,
    bonus bigint,
    activated_at timestamp with time zone,
    expires_at timestamp with time zone,
    expires_on date,
    last_operation_at timestamp with time zone
);

create type card_insert_v1 as (
    component integer,
    card_id text,
    card_number text,
    template_id text,
    template_version integer,
    currency text,
    status text,
    activated_at timestamp with time zone,
    expires_at timestamp with time zone,
    expires_on date,
    created_at timestamp with time zone
);

create type card_row_v1 as (
    card_id text,
    card_number text,
    template_id text,
    template_version integer,
    currency text,
    status text,
    version bigint,
    principal bigint,
    bonus bigint,
    activated_at timestamp with time zone,
    expires_at timestamp with time zone,
    expires_on date,
    last_operation_at timestamp with time zone,
    created_at timestamp with time zone
);

create type counter_delta_v1 as (
    component integer,
    template_id text,
    counter text,
    delta bigint
);

create type counter_row_v1 as (
    template_id text,
    counter text,
    used bigint,
    cap bigint
);

create type credential_row_v1 as (
    api_key_id text,
    secret_hash bytea,
    scopes text[],
    store_id text,
    expires_at timestamp with time zone
);

create type credential_row_v2 as (
    api_key_id text,
    secret_hash bytea,
    scopes text[],
    store_id text,
    expires_at timestamp with time zone,
    networks text[]
);

create type credential_row_v3 as (
    api_key_id text,
    secret_hash bytea,
    scopes text[],
    store_id text,
    expires_at timestamp with time zone,
    networks text[],
    signed boolean
);

create type grant_row_v1 as (
    role text,
    stores text[],
    contract text[]
);

create type guard_v1 as (
    component integer,
    kind text,
    id text,
    version bigint
);

create type key_row_v1 as (
    key_hash bytea,
    fingerprint bytea,
    outcome text,
    operation_id text,
    http_status smallint,
    answer bytea,
    created_at timestamp with time zone
);

create type key_v1 as (
    component integer,
    key_hash bytea,
    fingerprint bytea,
    outcome text,
    operation_id text,
    http_status smallint,
    answer bytea,
    created_at timestamp with time zone
);

create type leg_v1 as (
    component integer,
    card_id text,
    version bigint,
    operation_id text,
    status text,
    principal_delta bigint,
    bonus_delta bigint,
    principal bigint,
    bonus bigint
);

create type lot_image_v1 as (
    component integer,
    card_id text,
    lot_id text,
    remaining_old bigint,
    remaining bigint
);

create type lot_insert_v1 as (
    component integer,
    card_id text,
    lot_id text,
    account text,
    unit text,
    amount bigint,
    remaining bigint,
    expires_at timestamp with time zone,
    expires_on date,
    operation_id text,
    created_at timestamp with time zone
);

create type lot_row_v1 as (
    card_id text,
    lot_id text,
    account text,
    unit text,
    amount bigint,
    remaining bigint,
    expires_at timestamp with time zone,
    expires_on date
);

create type operation_row_v1 as (
    operation_id text,
    kind text,
    status text,
    card_id text,
    store_id text,
    amount bigint,
    api_key_id text,
    reversed_by text
);

create type operation_v1 as (
    component integer,
    operation_id text,
    kind text,
    status text,
    card_id text,
    target_id text,
    amount bigint,
    currency text,
    store_id text,
    legal_entity text,
    terminal_id text,
    operator text,
    shift text,
    receipt_no text,
    request_no text,
    business_date date,
    occurred_at timestamp with time zone,
    recorded_at timestamp with time zone,
    decided_at timestamp with time zone,
    decided_version bigint,
    api_key_id text,
    details jsonb
);

create type operation_v2 as (
    component integer,
    operation_id text,
    kind text,
    status text,
    card_id text,
    target_id text,
    amount bigint,
    currency text,
    store_id text,
    legal_entity text,
    terminal_id text,
    operator text,
    shift text,
    receipt_no text,
    request_no text,
    business_date date,
    occurred_at timestamp with time zone,
    recorded_at timestamp with time zone,
    decided_at timestamp with time zone,
    decided_version bigint,
    api_key_id text,
    user_id text,
    session_id text,
    details jsonb
);

create type policy_row_v1 as (
    node_id text,
    version integer,
    rules text
);

create type post_arguments_v1 as (
    merchant_id text,
    guards guard_v1[],
    keys key_v1[],
    card_inserts card_insert_v1[],
    cards card_image_v1[],
    lot_inserts lot_insert_v1[],
    lots lot_image_v1[],
    operations operation_v1[],
    postings posting_v1[],
    legs leg_v1[],
    redemption_inserts redemption_insert_v1[],
    redemptions redemption_image_v1[],
    counters counter_delta_v1[]
);

create type post_arguments_v2 as (
    merchant_id text,
    guards guard_v1[],
    keys key_v1[],
    card_inserts card_insert_v1[],
    cards card_image_v1[],
    lot_inserts lot_insert_v1[],
    lots lot_image_v1[],
    operations operation_v2[],
    postings posting_v1[],
    legs leg_v1[],
    redemption_inserts redemption_insert_v1[],
    redemptions redemption_image_v1[],
    counters counter_delta_v1[]
);

create type post_result_v1 as (
    missed integer[]
);

create type posting_row_v1 as (
    operation_id text,
    posting_no smallint,
    from_account text,
    to_account text,
    amount bigint,
    lot_id text
);

create type posting_v1 as (
    component integer,
    operation_id text,
    posting_no smallint,
    from_account text,
    to_account text,
    unit text,
    amount bigint,
    card_id text,
    lot_id text,
    legal_entity text
);

create type read_arguments_v1 as (
    merchant_id text,
    lock boolean,
    card_numbers text[],
    keys bytea[],
    request_stores text[],
    request_nos text[],
    operations text[],
    templates text[]
);

create type read_result_v1 as (
    epoch bigint,
    merchant_status text,
    test_now timestamp with time zone,
    clock timestamp with time zone,
    cards card_row_v1[],
    lots lot_row_v1[],
    keys key_row_v1[],
    request_nos request_no_row_v1[],
    operations operation_row_v1[],
    redemptions redemption_row_v1[],
    postings posting_row_v1[],
    counters counter_row_v1[]
);

create type redemption_image_v1 as (
    component integer,
    redemption_id text,
    version_old bigint,
    version bigint,
    status text,
    refunded bigint,
    refunded_lines jsonb
);

create type redemption_insert_v1 as (
    component integer,
    redemption_id text,
    card_id text,
    store_id text,
    request_no text,
    status text,
    version bigint,
    currency text,
    amount bigint,
    refunded bigint,
    lines jsonb,
    refunded_lines jsonb
);

create type redemption_row_v1 as (
    redemption_id text,
    card_id text,
    store_id text,
    request_no text,
    status text,
    version bigint,
    currency text,
    amount bigint,
    refunded bigint,
    lines jsonb,
    refunded_lines jsonb,
    decided_at timestamp with time zone,
    business_date date
);

create type request_no_row_v1 as (
    store_id text,
    request_no text,
    redemption_id text
);

create type session_row_v1 as (
    session_id text,
    user_id text,
    secret_hash bytea,
    second_factor boolean,
    expires_at timestamp with time zone,
    grants grant_row_v1[]
);

create type store_row_v1 as (
    store_id text,
    legal_entity text,
    time_zone text,
    day_cutoff time without time zone,
    status text
);

create type store_row_v2 as (
    store_id text,
    legal_entity text,
    time_zone text,
    day_cutoff time without time zone,
    status text,
    closed_through date
);

create type store_row_v3 as (
    store_id text,
    legal_entity text,
    time_zone text,
    day_cutoff time without time zone,
    status text,
    closed_through date,
    policies policy_row_v1[]
);

create type template_row_v1 as (
    template_id text,
    version_asked integer,
    version integer,
    rules text
);

create table api_key (
    merchant_id text collate "C" not null,
    api_key_id text collate "C" not null,
    name text not null,
    secret_hash bytea not null,
    scopes text[] not null,
    store_id text collate "C",
    status text not null default 'active'::text,
    expires_at timestamp with time zone,
    created_at timestamp with time zone not null,
    networks text[],
    created_by text collate "C",
    last_used_at timestamp with time zone,
    rotated_to text collate "C",
    signed boolean not null default false,
    constraint api_key_pkey PRIMARY KEY (merchant_id, api_key_id),
    constraint api_key_secret UNIQUE (merchant_id, secret_hash),
    constraint api_key_secret_hash_check CHECK ((octet_length(secret_hash) = 32)),
    constraint api_key_status_check CHECK ((status = ANY (ARRAY['active'::text, 'revoked'::text]))),
    constraint api_key_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id),
    constraint api_key_merchant_id_store_id_fkey FOREIGN KEY (merchant_id, store_id) REFERENCES store(merchant_id, store_id)
);
alter table api_key enable row level security;
alter table api_key force row level security;
create policy tenant on api_key as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on api_key to kafang_app;
grant update (name, scopes, status, expires_at, last_used_at, rotated_to) on api_key to kafang_app;

create table approval (
    merchant_id text collate "C" not null,
    approval_id text collate "C" not null,
    kind text not null,
    status text not null,
    responsible_id text collate "C" not null,
    actor_kind text not null,
    actor_id text collate "C" not null,
    session_id text collate "C",
    store_id text collate "C",
    subject_id text collate "C",
    amount bigint,
    currency text,
    request jsonb not null,
    digest bytea not null,
    approvers smallint not null,
    roles text[] not null,
    opened_at timestamp with time zone not null,
    expires_at timestamp with time zone not null,
    closed_at timestamp with time zone,
    constraint approval_pkey PRIMARY KEY (merchant_id, approval_id),
    constraint approval_responsible UNIQUE (merchant_id, approval_id, responsible_id),
    constraint approval_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['user'::text, 'api_key'::text]))),
    constraint approval_amount CHECK (((amount IS NULL) = (currency IS NULL))),
    constraint approval_amount_check CHECK ((amount > 0)),
    constraint approval_approvers_check CHECK (((approvers >= 1) AND (approvers <= 3))),
    constraint approval_closed CHECK (((status = ANY (ARRAY['open'::text, 'approved'::text])) = (closed_at IS NULL))),
    constraint approval_digest_check CHECK ((octet_length(digest) = 32)),
    constraint approval_roles_check CHECK ((cardinality(roles) > 0)),
    constraint approval_status_check CHECK ((status = ANY (ARRAY['open'::text, 'approved'::text, 'used'::text, 'rejected'::text, 'withdrawn'::text, 'expired'::text, 'void'::text]))),
    constraint approval_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id),
    constraint approval_merchant_id_store_id_fkey FOREIGN KEY (merchant_id, store_id) REFERENCES store(merchant_id, store_id)
);
CREATE UNIQUE INDEX approval_waiting ON public.approval USING btree (merchant_id, responsible_id, digest) WHERE (closed_at IS NULL);
alter table approval enable row level security;
alter table approval force row level security;
create policy tenant on approval as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on approval to kafang_app;
grant update (status, closed_at) on approval to kafang_app;

create table approval_decision (
    merchant_id text collate "C" not null,
    approval_id text collate "C" not null,
    user_id text collate "C" not null,
    responsible_id text collate "C" not null,
    session_id text collate "C" not null,
    approved boolean not null,
    note text,
    decided_at timestamp with time zone not null,
    constraint approval_decision_pkey PRIMARY KEY (merchant_id, approval_id, user_id),
    constraint approval_decision_other CHECK ((user_id <> responsible_id)),
    constraint approval_decision_merchant_id_approval_id_responsible_id_fkey FOREIGN KEY (merchant_id, approval_id, responsible_id) REFERENCES approval(merchant_id, approval_id, responsible_id),
    constraint approval_decision_merchant_id_user_id_fkey FOREIGN KEY (merchant_id, user_id) REFERENCES user_account(merchant_id, user_id)
);
alter table approval_decision enable row level security;
alter table approval_decision force row level security;
create policy tenant on approval_decision as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on approval_decision to kafang_app;

create table area (
    merchant_id text collate "C" not null,
    area_id text collate "C" not null,
    name text not null,
    created_at timestamp with time zone not null,
    constraint area_pkey PRIMARY KEY (merchant_id, area_id),
    constraint area_name UNIQUE (merchant_id, name),
    constraint area_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
alter table area enable row level security;
alter table area force row level security;
create policy tenant on area as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on area to kafang_app;

create table audit_entry (
    merchant_id text collate "C" not null,
    audit_entry_id text collate "C" not null,
    action text not null,
    object_id text collate "C",
    actor_kind text not null,
    actor_id text collate "C" not null,
    session_id text collate "C",
    address text,
    request_id text collate "C",
    reason text,
    before jsonb,
    after jsonb,
    recorded_at timestamp with time zone not null,
    constraint audit_entry_pkey PRIMARY KEY (merchant_id, audit_entry_id),
    constraint audit_entry_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['user'::text, 'api_key'::text, 'member'::text, 'operator'::text]))),
    constraint audit_entry_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
CREATE INDEX audit_entry_object ON public.audit_entry USING btree (merchant_id, object_id, audit_entry_id);
CREATE INDEX audit_entry_unmasked ON public.audit_entry USING btree (merchant_id, actor_id, recorded_at) WHERE (action = ANY (ARRAY['member.unmasked'::text, 'member.subject_access'::text]));
alter table audit_entry enable row level security;
alter table audit_entry force row level security;
create policy tenant on audit_entry as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant select on audit_entry to kafang_app;

create table authority (
    merchant_id text collate "C" not null,
    version integer not null,
    rules jsonb not null,
    made_by text collate "C" not null,
    made_at timestamp with time zone not null,
    constraint authority_pkey PRIMARY KEY (merchant_id, version),
    constraint authority_version_check CHECK ((version > 0)),
    constraint authority_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
alter table authority enable row level security;
alter table authority force row level security;
create policy tenant on authority as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on authority to kafang_app;

create table card (
    merchant_id text collate "C" not null,
    card_id text collate "C" not null,
    card_number text collate "C" not null,
    template_id text collate "C" not null,
    template_version integer not null,
    currency text not null,
    status text not null,
    version bigint not null,
    principal bigint not null,
    bonus bigint not null,
    activated_at timestamp with time zone,
    expires_at timestamp with time zone,
    expires_on date,
    last_operation_at timestamp with time zone not null,
    created_at timestamp with time zone not null,
    constraint card_pkey PRIMARY KEY (merchant_id, card_id),
    constraint card_number_unique UNIQUE (merchant_id, card_number),
    constraint card_balance_not_negative CHECK (((principal >= 0) AND (bonus >= 0))),
    constraint card_card_number_check CHECK ((card_number ~ '^[0-9]{8,32}$'::text)),
    constraint card_created_is_empty CHECK (((status <> 'created'::text) OR ((principal = 0) AND (bonus = 0) AND (activated_at IS NULL)))),
    constraint card_expiry_pair CHECK (((expires_at IS NULL) = (expires_on IS NULL))),
    constraint card_status_check CHECK ((status = ANY (ARRAY['created'::text, 'active'::text, 'frozen'::text]))),
    constraint card_version_check CHECK ((version > 0)),
    constraint card_merchant_id_template_id_template_version_fkey FOREIGN KEY (merchant_id, template_id, template_version) REFERENCES template_version(merchant_id, template_id, version)
) with (fillfactor=80);
alter table card enable row level security;
alter table card force row level security;
create policy tenant on card as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on card to kafang_app;
grant update (status, version, principal, bonus, activated_at, expires_at, expires_on, last_operation_at) on card to kafang_app;

create table card_binding (
    merchant_id text collate "C" not null,
    card_id text collate "C" not null,
    binding_no integer not null,
    member_id text collate "C" not null,
    bound_version bigint not null,
    bound_at timestamp with time zone not null,
    bound_by text collate "C" not null,
    unbound_at timestamp with time zone,
    unbound_by text collate "C",
    constraint card_binding_pkey PRIMARY KEY (merchant_id, card_id, binding_no),
    constraint card_binding_binding_no_check CHECK ((binding_no > 0)),
    constraint card_binding_bound_version_check CHECK ((bound_version > 0)),
    constraint card_binding_end CHECK (((unbound_at IS NULL) = (unbound_by IS NULL))),
    constraint card_binding_merchant_id_card_id_fkey FOREIGN KEY (merchant_id, card_id) REFERENCES card(merchant_id, card_id),
    constraint card_binding_merchant_id_member_id_fkey FOREIGN KEY (merchant_id, member_id) REFERENCES member(merchant_id, member_id)
);
CREATE INDEX card_binding_ever ON public.card_binding USING btree (merchant_id, member_id);
CREATE INDEX card_binding_member ON public.card_binding USING btree (merchant_id, member_id) WHERE (unbound_at IS NULL);
CREATE UNIQUE INDEX card_binding_open ON public.card_binding USING btree (merchant_id, card_id) WHERE (unbound_at IS NULL);
alter table card_binding enable row level security;
alter table card_binding force row level security;
create policy tenant on card_binding as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on card_binding to kafang_app;
grant update (unbound_at, unbound_by) on card_binding to kafang_app;

create table card_template (
    merchant_id text collate "C" not null,
    template_id text collate "C" not null,
    created_at timestamp with time zone not null,
    constraint card_template_pkey PRIMARY KEY (merchant_id, template_id),
    constraint card_template_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
alter table card_template enable row level security;
alter table card_template force row level security;
create policy tenant on card_template as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on card_template to kafang_app;

create table chain_head (
    merchant_id text collate "C" not null,
    segment_no bigint not null,
    last_seq bigint not null,
    hash bytea not null,
    moved_at timestamp with time zone not null,
    constraint chain_head_pkey PRIMARY KEY (merchant_id),
    constraint chain_head_hash_check CHECK ((octet_length(hash) = 32)),
    constraint chain_head_last_seq CHECK ((last_seq >= segment_no)),
    constraint chain_head_segment_no_check CHECK ((segment_no >= 0)),
    constraint chain_head_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
alter table chain_head enable row level security;
alter table chain_head force row level security;
create policy operator_list on chain_head as permissive for select to owner using (true);
create policy tenant on chain_head as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant select on chain_head to kafang_app;

create table day_change (
    merchant_id text collate "C" not null,
    store_id text collate "C" not null,
    business_date date not null,
    change_no integer not null,
    action text not null,
    reason text,
    changed_at timestamp with time zone not null,
    api_key_id text collate "C" not null,
    totals jsonb,
    constraint day_change_pkey PRIMARY KEY (merchant_id, store_id, business_date, change_no),
    constraint day_change_action_check CHECK ((action = ANY (ARRAY['close'::text, 'reopen'::text]))),
    constraint day_change_change_no_check CHECK ((change_no > 0)),
    constraint day_change_closing CHECK (((action = 'close'::text) = (totals IS NOT NULL))),
    constraint day_change_reason CHECK (((action = 'reopen'::text) = (reason IS NOT NULL))),
    constraint day_change_merchant_id_store_id_fkey FOREIGN KEY (merchant_id, store_id) REFERENCES store(merchant_id, store_id)
);
alter table day_change enable row level security;
alter table day_change force row level security;
create policy tenant on day_change as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on day_change to kafang_app;

create table employee_use (
    merchant_id text collate "C" not null,
    employee text collate "C" not null,
    kind text not null,
    business_date date not null,
    key_hash bytea not null,
    amount bigint not null,
    used_at timestamp with time zone not null,
    constraint employee_use_pkey PRIMARY KEY (merchant_id, employee, kind, business_date, key_hash),
    constraint employee_use_amount_check CHECK ((amount >= 0)),
    constraint employee_use_key_hash_check CHECK ((octet_length(key_hash) = 16)),
    constraint employee_use_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
alter table employee_use enable row level security;
alter table employee_use force row level security;
create policy tenant on employee_use as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on employee_use to kafang_app;
grant update (amount) on employee_use to kafang_app;

create table idempotency_key (
    merchant_id text collate "C" not null,
    key_hash bytea not null,
    fingerprint bytea not null,
    outcome text not null,
    operation_id text collate "C",
    http_status smallint not null,
    answer bytea,
    created_at timestamp with time zone not null,
    constraint idempotency_key_pkey PRIMARY KEY (merchant_id, key_hash),
    constraint idempotency_key_key_hash_check CHECK ((octet_length(key_hash) = 16)),
    constraint idempotency_key_operation CHECK (((operation_id IS NULL) = (outcome = 'tombstone'::text))),
    constraint idempotency_key_outcome_check CHECK ((outcome = ANY (ARRAY['accepted'::text, 'refused'::text, 'tombstone'::text]))),
    constraint idempotency_key_merchant_id_operation_id_fkey FOREIGN KEY (merchant_id, operation_id) REFERENCES operation(merchant_id, operation_id) DEFERRABLE INITIALLY DEFERRED
);
alter table idempotency_key enable row level security;
alter table idempotency_key force row level security;
create policy tenant on idempotency_key as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on idempotency_key to kafang_app;

create table installation (
    only_one boolean not null default true,
    secret_check bytea not null,
    key_store_id bytea,
    constraint installation_pkey PRIMARY KEY (only_one),
    constraint installation_only_one_check CHECK (only_one)
);
grant insert, select on installation to kafang_app;
grant update (key_store_id) on installation to kafang_app;

create table leg (
    merchant_id text collate "C" not null,
    card_id text collate "C" not null,
    version bigint not null,
    operation_id text collate "C" not null,
    status text not null,
    principal_delta bigint not null,
    bonus_delta bigint not null,
    principal bigint not null,
    bonus bigint not null,
    constraint leg_pkey PRIMARY KEY (merchant_id, card_id, version),
    constraint leg_bonus_check CHECK ((bonus >= 0)),
    constraint leg_principal_check CHECK ((principal >= 0)),
    constraint leg_status_check CHECK ((status = ANY (ARRAY['created'::text, 'active'::text, 'frozen'::text]))),
    constraint leg_version_check CHECK ((version > 0)),
    constraint leg_merchant_id_card_id_fkey FOREIGN KEY (merchant_id, card_id) REFERENCES card(merchant_id, card_id),
    constraint leg_merchant_id_operation_id_fkey FOREIGN KEY (merchant_id, operation_id) REFERENCES operation(merchant_id, operation_id)
);
alter table leg enable row level security;
alter table leg force row level security;
create policy tenant on leg as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on leg to kafang_app;

create table legal_hold (
    merchant_id text collate "C" not null,
    legal_hold_id text collate "C" not null,
    member_id text collate "C" not null,
    reason text not null,
    placed_by text collate "C" not null,
    placed_at timestamp with time zone not null,
    released_by text collate "C",
    released_at timestamp with time zone,
    constraint legal_hold_pkey PRIMARY KEY (merchant_id, legal_hold_id),
    constraint legal_hold_end CHECK (((released_at IS NULL) = (released_by IS NULL))),
    constraint legal_hold_merchant_id_member_id_fkey FOREIGN KEY (merchant_id, member_id) REFERENCES member(merchant_id, member_id)
);
CREATE INDEX legal_hold_member ON public.legal_hold USING btree (merchant_id, member_id, legal_hold_id);
alter table legal_hold enable row level security;
alter table legal_hold force row level security;
create policy tenant on legal_hold as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on legal_hold to kafang_app;
grant update (released_by, released_at) on legal_hold to kafang_app;

create table lot (
    merchant_id text collate "C" not null,
    card_id text collate "C" not null,
    lot_id text collate "C" not null,
    account text not null,
    unit text not null,
    amount bigint not null,
    remaining bigint not null,
    expires_at timestamp with time zone,
    expires_on date,
    operation_id text collate "C" not null,
    created_at timestamp with time zone not null,
    constraint lot_pkey PRIMARY KEY (merchant_id, card_id, lot_id),
    constraint lot_account_check CHECK ((account = ANY (ARRAY['principal'::text, 'bonus'::text]))),
    constraint lot_amount_check CHECK ((amount > 0)),
    constraint lot_expiry_pair CHECK (((expires_at IS NULL) = (expires_on IS NULL))),
    constraint lot_remaining_within CHECK (((remaining >= 0) AND (remaining <= amount))),
    constraint lot_merchant_id_card_id_fkey FOREIGN KEY (merchant_id, card_id) REFERENCES card(merchant_id, card_id),
    constraint lot_merchant_id_operation_id_fkey FOREIGN KEY (merchant_id, operation_id) REFERENCES operation(merchant_id, operation_id) DEFERRABLE INITIALLY DEFERRED
) with (fillfactor=80);
alter table lot enable row level security;
alter table lot force row level security;
create policy tenant on lot as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on lot to kafang_app;
grant update (remaining) on lot to kafang_app;

create table member (
    merchant_id text collate "C" not null,
    member_id text collate "C" not null,
    external_id text collate "C",
    phone_index bytea,
    masked_phone text,
    token_generation integer not null default 1,
    version integer not null default 1,
    created_at timestamp with time zone not null,
    status text not null default 'active'::text,
    masked_name text,
    phone_sealed bytea,
    name_sealed bytea,
    key_no integer,
    constraint member_pkey PRIMARY KEY (merchant_id, member_id),
    constraint member_external_id UNIQUE (merchant_id, external_id),
    constraint member_phone UNIQUE (merchant_id, phone_index),
    constraint member_erased CHECK (((status <> 'erased'::text) OR ((phone_sealed IS NULL) AND (name_sealed IS NULL)))),
    constraint member_is_known CHECK (((status <> 'active'::text) OR (external_id IS NOT NULL) OR (phone_index IS NOT NULL))),
    constraint member_phone_index_check CHECK ((octet_length(phone_index) = 32)),
    constraint member_phone_pair CHECK (((phone_index IS NULL) = (masked_phone IS NULL))),
    constraint member_restricted CHECK (((status = 'active'::text) OR ((external_id IS NULL) AND (phone_index IS NULL) AND (masked_phone IS NULL) AND (masked_name IS NULL)))),
    constraint member_sealed CHECK (((key_no IS NOT NULL) OR ((phone_sealed IS NULL) AND (name_sealed IS NULL)))),
    constraint member_status CHECK ((status = ANY (ARRAY['active'::text, 'restricted'::text, 'erased'::text]))),
    constraint member_token_generation_check CHECK ((token_generation > 0)),
    constraint member_version_check CHECK ((version > 0)),
    constraint member_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
alter table member enable row level security;
alter table member force row level security;
create policy tenant on member as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on member to kafang_app;
grant update (external_id, phone_index, masked_phone, token_generation, version, status, masked_name, phone_sealed, name_sealed, key_no) on member to kafang_app;

create table merchant (
    merchant_id text collate "C" not null,
    name text not null,
    mode text not null,
    currency text not null,
    time_zone text not null,
    status text not null default 'active'::text,
    epoch bigint not null default 1,
    test_now timestamp with time zone,
    created_at timestamp with time zone not null,
    constraint merchant_pkey PRIMARY KEY (merchant_id),
    constraint merchant_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    constraint merchant_epoch_check CHECK ((epoch > 0)),
    constraint merchant_mode_check CHECK ((mode = ANY (ARRAY['test'::text, 'live'::text]))),
    constraint merchant_status_check CHECK ((status = ANY (ARRAY['active'::text, 'suspended'::text]))),
    constraint merchant_test_clock CHECK (((test_now IS NULL) OR (mode = 'test'::text)))
);
alter table merchant enable row level security;
alter table merchant force row level security;
create policy operator_list on merchant as permissive for select to owner using (true);
create policy tenant on merchant as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on merchant to kafang_app;
grant update (name, status, epoch, test_now) on merchant to kafang_app;

create table operation (
    merchant_id text collate "C" not null,
    operation_id text collate "C" not null,
    kind text not null,
    status text not null,
    card_id text collate "C",
    target_id text collate "C",
    amount bigint not null,
    currency text,
    store_id text collate "C",
    legal_entity text,
    terminal_id text,
    operator text,
    shift text,
    receipt_no text,
    request_no text,
    business_date date not null,
    occurred_at timestamp with time zone not null,
    recorded_at timestamp with time zone not null,
    decided_at timestamp with time zone not null,
    decided_version bigint,
    device_id text,
    device_seq bigint,
    offline boolean not null default false,
    api_key_id text collate "C",
    details jsonb,
    user_id text collate "C",
    session_id text collate "C",
    constraint operation_pkey PRIMARY KEY (merchant_id, operation_id),
    constraint operation_amount_check CHECK ((amount >= 0)),
    constraint operation_device_pair CHECK (((device_id IS NULL) = (device_seq IS NULL))),
    constraint operation_kind_check CHECK ((kind = ANY (ARRAY['issue'::text, 'activate'::text, 'top_up'::text, 'redeem'::text, 'refund'::text, 'void'::text, 'reversal'::text, 'freeze'::text, 'unfreeze'::text, 'lapse'::text]))),
    constraint operation_status_check CHECK ((status = ANY (ARRAY['accepted'::text, 'refused'::text]))),
    constraint operation_merchant_id_store_id_fkey FOREIGN KEY (merchant_id, store_id) REFERENCES store(merchant_id, store_id),
    constraint operation_merchant_id_target_id_fkey FOREIGN KEY (merchant_id, target_id) REFERENCES operation(merchant_id, operation_id)
);
CREATE INDEX operation_day ON public.operation USING btree (merchant_id, store_id, business_date) WHERE (store_id IS NOT NULL);
CREATE INDEX operation_recorded_at ON public.operation USING btree (merchant_id, recorded_at, operation_id) WHERE (recorded_at IS NOT NULL);
CREATE INDEX operation_refused_card ON public.operation USING btree (merchant_id, card_id, recorded_at, operation_id) WHERE (status = 'refused'::text);
CREATE INDEX operation_refused_request_no ON public.operation USING btree (merchant_id, store_id, request_no) WHERE ((status = 'refused'::text) AND (request_no IS NOT NULL));
CREATE INDEX operation_target ON public.operation USING btree (merchant_id, target_id) WHERE (target_id IS NOT NULL);
CREATE INDEX operation_terminal ON public.operation USING btree (merchant_id, store_id, terminal_id, recorded_at) WHERE (terminal_id IS NOT NULL);
alter table operation enable row level security;
alter table operation force row level security;
create policy tenant on operation as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on operation to kafang_app;

create table placement (
    merchant_id text collate "C" not null,
    placement_id text collate "C" not null,
    area_id text collate "C",
    store_id text collate "C",
    parent_id text collate "C",
    since timestamp with time zone not null,
    until timestamp with time zone,
    constraint placement_pkey PRIMARY KEY (merchant_id, placement_id),
    constraint placement_elsewhere CHECK ((parent_id <> area_id)),
    constraint placement_of_one CHECK ((num_nonnulls(area_id, store_id) = 1)),
    constraint placement_merchant_id_area_id_fkey FOREIGN KEY (merchant_id, area_id) REFERENCES area(merchant_id, area_id),
    constraint placement_merchant_id_parent_id_fkey FOREIGN KEY (merchant_id, parent_id) REFERENCES area(merchant_id, area_id),
    constraint placement_merchant_id_store_id_fkey FOREIGN KEY (merchant_id, store_id) REFERENCES store(merchant_id, store_id)
);
CREATE INDEX placement_inside ON public.placement USING btree (merchant_id, parent_id) WHERE (until IS NULL);
CREATE UNIQUE INDEX placement_of_area ON public.placement USING btree (merchant_id, area_id) WHERE (until IS NULL);
CREATE UNIQUE INDEX placement_of_store ON public.placement USING btree (merchant_id, store_id) WHERE (until IS NULL);
alter table placement enable row level security;
alter table placement force row level security;
create policy tenant on placement as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on placement to kafang_app;
grant update (until) on placement to kafang_app;

create table platform (
    only_one boolean not null default true,
    platform_id text collate "C" not null,
    constraint platform_pkey PRIMARY KEY (only_one),
    constraint platform_only_one_check CHECK (only_one),
    constraint platform_platform_id_fkey FOREIGN KEY (platform_id) REFERENCES merchant(merchant_id)
);
grant insert, select on platform to kafang_app;

create table policy (
    merchant_id text collate "C" not null,
    node_id text collate "C" not null,
    area_id text collate "C",
    store_id text collate "C",
    version integer not null,
    rules jsonb not null,
    made_by text collate "C" not null,
    made_at timestamp with time zone not null,
    constraint policy_pkey PRIMARY KEY (merchant_id, node_id, version),
    constraint policy_node CHECK (((num_nonnulls(area_id, store_id) <= 1) AND (node_id = COALESCE(store_id, area_id, merchant_id)))),
    constraint policy_version_check CHECK ((version > 0)),
    constraint policy_merchant_id_area_id_fkey FOREIGN KEY (merchant_id, area_id) REFERENCES area(merchant_id, area_id),
    constraint policy_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id),
    constraint policy_merchant_id_store_id_fkey FOREIGN KEY (merchant_id, store_id) REFERENCES store(merchant_id, store_id)
);
alter table policy enable row level security;
alter table policy force row level security;
create policy tenant on policy as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on policy to kafang_app;

create table posting (
    merchant_id text collate "C" not null,
    operation_id text collate "C" not null,
    posting_no smallint not null,
    from_account text not null,
    to_account text not null,
    unit text not null,
    amount bigint not null,
    card_id text collate "C" not null,
    lot_id text collate "C" not null,
    legal_entity text,
    constraint posting_pkey PRIMARY KEY (merchant_id, operation_id, posting_no),
    constraint posting_amount_check CHECK ((amount > 0)),
    constraint posting_from_account_check CHECK ((from_account = ANY (ARRAY['principal'::text, 'bonus'::text, 'tender'::text, 'promotion'::text, 'sales'::text, 'lapsed'::text]))),
    constraint posting_one_card_side CHECK (((from_account = ANY (ARRAY['principal'::text, 'bonus'::text])) <> (to_account = ANY (ARRAY['principal'::text, 'bonus'::text])))),
    constraint posting_posting_no_check CHECK ((posting_no > 0)),
    constraint posting_to_account_check CHECK ((to_account = ANY (ARRAY['principal'::text, 'bonus'::text, 'tender'::text, 'promotion'::text, 'sales'::text, 'lapsed'::text]))),
    constraint posting_merchant_id_card_id_lot_id_fkey FOREIGN KEY (merchant_id, card_id, lot_id) REFERENCES lot(merchant_id, card_id, lot_id),
    constraint posting_merchant_id_operation_id_fkey FOREIGN KEY (merchant_id, operation_id) REFERENCES operation(merchant_id, operation_id)
);
alter table posting enable row level security;
alter table posting force row level security;
create policy tenant on posting as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on posting to kafang_app;

create table redemption (
    merchant_id text collate "C" not null,
    redemption_id text collate "C" not null,
    card_id text collate "C" not null,
    store_id text collate "C" not null,
    request_no text not null,
    status text not null,
    version bigint not null,
    currency text not null,
    amount bigint not null,
    refunded bigint not null,
    lines jsonb not null,
    refunded_lines jsonb not null,
    constraint redemption_pkey PRIMARY KEY (merchant_id, redemption_id),
    constraint redemption_request_no UNIQUE (merchant_id, store_id, request_no),
    constraint redemption_amount_check CHECK ((amount > 0)),
    constraint redemption_refunded_within CHECK (((refunded >= 0) AND (refunded <= amount))),
    constraint redemption_status_agrees CHECK (
CASE status
    WHEN 'captured'::text THEN (refunded = 0)
    WHEN 'partly_refunded'::text THEN ((refunded > 0) AND (refunded < amount))
    ELSE (refunded = amount)
END),
    constraint redemption_status_check CHECK ((status = ANY (ARRAY['captured'::text, 'partly_refunded'::text, 'refunded'::text, 'voided'::text]))),
    constraint redemption_version_check CHECK ((version > 0)),
    constraint redemption_merchant_id_redemption_id_fkey FOREIGN KEY (merchant_id, redemption_id) REFERENCES operation(merchant_id, operation_id)
) with (fillfactor=90);
alter table redemption enable row level security;
alter table redemption force row level security;
create policy tenant on redemption as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on redemption to kafang_app;
grant update (status, version, refunded, refunded_lines) on redemption to kafang_app;

create table role_grant (
    merchant_id text collate "C" not null,
    grant_id text collate "C" not null,
    user_id text collate "C" not null,
    role text not null,
    area_id text collate "C",
    store_id text collate "C",
    granted_at timestamp with time zone not null,
    granted_by text collate "C" not null,
    revoked_at timestamp with time zone,
    revoked_by text collate "C",
    constraint role_grant_pkey PRIMARY KEY (merchant_id, grant_id),
    constraint role_grant_at_one CHECK ((num_nonnulls(area_id, store_id) <= 1)),
    constraint role_grant_end CHECK (((revoked_at IS NULL) = (revoked_by IS NULL))),
    constraint role_grant_merchant_id_area_id_fkey FOREIGN KEY (merchant_id, area_id) REFERENCES area(merchant_id, area_id),
    constraint role_grant_merchant_id_store_id_fkey FOREIGN KEY (merchant_id, store_id) REFERENCES store(merchant_id, store_id),
    constraint role_grant_merchant_id_user_id_fkey FOREIGN KEY (merchant_id, user_id) REFERENCES user_account(merchant_id, user_id)
);
CREATE UNIQUE INDEX role_grant_now ON public.role_grant USING btree (merchant_id, user_id, role, area_id, store_id) NULLS NOT DISTINCT WHERE (revoked_at IS NULL);
alter table role_grant enable row level security;
alter table role_grant force row level security;
create policy tenant on role_grant as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on role_grant to kafang_app;
grant update (revoked_at, revoked_by) on role_grant to kafang_app;

create table schema_migration (
    kind text not null,
    name text not null,
    checksum text not null,
    applied_at timestamp with time zone not null default now(),
    duration_ms integer not null,
    constraint schema_migration_pkey PRIMARY KEY (kind, name),
    constraint schema_migration_kind_check CHECK ((kind = ANY (ARRAY['migrations'::text, 'functions'::text])))
);
grant select on schema_migration to kafang_app;

create table segment (
    merchant_id text collate "C" not null,
    segment_no bigint not null,
    first_seq bigint not null,
    last_seq bigint not null,
    format smallint not null,
    entries text[] not null,
    digest bytea not null,
    hash bytea not null,
    sealed_at timestamp with time zone not null,
    constraint segment_pkey PRIMARY KEY (merchant_id, segment_no),
    constraint segment_last_seq UNIQUE (merchant_id, last_seq),
    constraint segment_digest_check CHECK ((octet_length(digest) = 32)),
    constraint segment_first_seq_check CHECK ((first_seq > 0)),
    constraint segment_format_check CHECK ((format = 1)),
    constraint segment_hash_check CHECK ((octet_length(hash) = 32)),
    constraint segment_numbers CHECK (((((last_seq - first_seq) + 1) = cardinality(entries)) AND (last_seq >= first_seq))),
    constraint segment_segment_no_check CHECK ((segment_no > 0)),
    constraint segment_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES chain_head(merchant_id)
);
alter table segment enable row level security;
alter table segment force row level security;
create policy tenant on segment as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant select on segment to kafang_app;

create table sign_in_guard (
    merchant_id text collate "C" not null,
    subject bytea not null,
    failures integer not null,
    failed_at timestamp with time zone not null,
    blocked_until timestamp with time zone not null,
    constraint sign_in_guard_pkey PRIMARY KEY (merchant_id, subject),
    constraint sign_in_guard_failures_check CHECK ((failures >= 0)),
    constraint sign_in_guard_subject_check CHECK ((octet_length(subject) = 32)),
    constraint sign_in_guard_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
) with (fillfactor=80);
alter table sign_in_guard enable row level security;
alter table sign_in_guard force row level security;
create policy tenant on sign_in_guard as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select, update on sign_in_guard to kafang_app;

create table store (
    merchant_id text collate "C" not null,
    store_id text collate "C" not null,
    name text not null,
    legal_entity text not null,
    time_zone text not null,
    day_cutoff time without time zone not null,
    status text not null default 'active'::text,
    created_at timestamp with time zone not null,
    closed_through date,
    code text collate "C",
    contract text[],
    constraint store_pkey PRIMARY KEY (merchant_id, store_id),
    constraint store_status_check CHECK ((status = ANY (ARRAY['active'::text, 'closed'::text]))),
    constraint store_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
CREATE UNIQUE INDEX store_code ON public.store USING btree (merchant_id, code);
alter table store enable row level security;
alter table store force row level security;
create policy tenant on store as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on store to kafang_app;
grant update (name, legal_entity, time_zone, day_cutoff, status, closed_through) on store to kafang_app;

create table template_counter (
    merchant_id text collate "C" not null,
    template_id text collate "C" not null,
    counter text not null,
    used bigint not null default 0,
    cap bigint,
    constraint template_counter_pkey PRIMARY KEY (merchant_id, template_id, counter),
    constraint template_counter_cap CHECK (((used >= 0) AND ((cap IS NULL) OR (used <= cap)))),
    constraint template_counter_counter_check CHECK ((counter = 'cards_issued'::text)),
    constraint template_counter_merchant_id_template_id_fkey FOREIGN KEY (merchant_id, template_id) REFERENCES card_template(merchant_id, template_id)
);
alter table template_counter enable row level security;
alter table template_counter force row level security;
create policy tenant on template_counter as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on template_counter to kafang_app;
grant update (used) on template_counter to kafang_app;

create table template_version (
    merchant_id text collate "C" not null,
    template_id text collate "C" not null,
    version integer not null,
    status text not null,
    rules jsonb not null,
    published_at timestamp with time zone not null,
    constraint template_version_pkey PRIMARY KEY (merchant_id, template_id, version),
    constraint template_version_status_check CHECK ((status = 'published'::text)),
    constraint template_version_version_check CHECK ((version > 0)),
    constraint template_version_merchant_id_template_id_fkey FOREIGN KEY (merchant_id, template_id) REFERENCES card_template(merchant_id, template_id)
);
alter table template_version enable row level security;
alter table template_version force row level security;
create policy tenant on template_version as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on template_version to kafang_app;

create table unsequenced (
    merchant_id text collate "C" not null,
    post_no bigint not null generated always as identity,
    operations text[] not null,
    posted_at timestamp with time zone not null default clock_timestamp(),
    constraint unsequenced_pkey PRIMARY KEY (merchant_id, post_no),
    constraint unsequenced_operations_check CHECK ((cardinality(operations) > 0))
) with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000);
alter table unsequenced enable row level security;
alter table unsequenced force row level security;
create policy operator_list on unsequenced as permissive for select to owner using (true);
create policy tenant on unsequenced as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on unsequenced to kafang_app;

create table used_nonce (
    merchant_id text collate "C" not null,
    nonce_hash bytea not null,
    used_at timestamp with time zone not null,
    constraint used_nonce_pkey PRIMARY KEY (merchant_id, nonce_hash),
    constraint used_nonce_nonce_hash_check CHECK ((octet_length(nonce_hash) = 16)),
    constraint used_nonce_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
CREATE INDEX used_nonce_age ON public.used_nonce USING btree (merchant_id, used_at);
alter table used_nonce enable row level security;
alter table used_nonce force row level security;
create policy tenant on used_nonce as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select, update on used_nonce to kafang_app;

create table user_account (
    merchant_id text collate "C" not null,
    user_id text collate "C" not null,
    email_index bytea,
    masked_email text not null,
    status text not null,
    password_hash text,
    totp_sealed bytea,
    totp_since timestamp with time zone,
    totp_step bigint,
    version integer not null default 1,
    created_at timestamp with time zone not null,
    is_visitor boolean not null default false,
    constraint user_account_pkey PRIMARY KEY (merchant_id, user_id),
    constraint user_account_email UNIQUE (merchant_id, email_index),
    constraint user_account_email_index_check CHECK ((octet_length(email_index) = 32)),
    constraint user_account_has_password CHECK (((status <> 'active'::text) OR (password_hash IS NOT NULL) OR is_visitor)),
    constraint user_account_status_check CHECK ((status = ANY (ARRAY['invited'::text, 'active'::text, 'disabled'::text]))),
    constraint user_account_totp CHECK (((totp_sealed IS NOT NULL) OR ((totp_since IS NULL) AND (totp_step IS NULL)))),
    constraint user_account_version_check CHECK ((version > 0)),
    constraint user_account_visitor CHECK (((is_visitor = (email_index IS NULL)) AND (NOT (is_visitor AND (password_hash IS NOT NULL))))),
    constraint user_account_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)
);
alter table user_account enable row level security;
alter table user_account force row level security;
create policy tenant on user_account as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on user_account to kafang_app;
grant update (status, password_hash, totp_sealed, totp_since, totp_step, version) on user_account to kafang_app;

create table user_session (
    merchant_id text collate "C" not null,
    session_id text collate "C" not null,
    user_id text collate "C" not null,
    secret_hash bytea not null,
    second_factor boolean not null,
    address text,
    device text,
    created_at timestamp with time zone not null,
    last_used_at timestamp with time zone not null,
    expires_at timestamp with time zone not null,
    ended_at timestamp with time zone,
    device_name text collate "C",
    constraint user_session_pkey PRIMARY KEY (merchant_id, session_id),
    constraint user_session_secret UNIQUE (merchant_id, secret_hash),
    constraint user_session_secret_hash_check CHECK ((octet_length(secret_hash) = 32)),
    constraint user_session_merchant_id_user_id_fkey FOREIGN KEY (merchant_id, user_id) REFERENCES user_account(merchant_id, user_id)
);
CREATE INDEX user_session_open ON public.user_session USING btree (merchant_id, user_id) WHERE (ended_at IS NULL);
alter table user_session enable row level security;
alter table user_session force row level security;
create policy tenant on user_session as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on user_session to kafang_app;
grant update (last_used_at, ended_at) on user_session to kafang_app;

create table user_ticket (
    merchant_id text collate "C" not null,
    secret_hash bytea not null,
    user_id text collate "C" not null,
    kind text not null,
    issued_by text collate "C",
    created_at timestamp with time zone not null,
    expires_at timestamp with time zone,
    used_at timestamp with time zone,
    constraint user_ticket_pkey PRIMARY KEY (merchant_id, secret_hash),
    constraint user_ticket_kind_check CHECK ((kind = ANY (ARRAY['invitation'::text, 'reset'::text, 'recovery_code'::text]))),
    constraint user_ticket_secret_hash_check CHECK ((octet_length(secret_hash) = 32)),
    constraint user_ticket_merchant_id_user_id_fkey FOREIGN KEY (merchant_id, user_id) REFERENCES user_account(merchant_id, user_id)
);
CREATE INDEX user_ticket_open ON public.user_ticket USING btree (merchant_id, user_id) WHERE (used_at IS NULL);
alter table user_ticket enable row level security;
alter table user_ticket force row level security;
create policy tenant on user_ticket as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on user_ticket to kafang_app;
grant update (used_at) on user_ticket to kafang_app;

create table visit (
    merchant_id text collate "C" not null,
    visit_id text collate "C" not null,
    platform_id text collate "C" not null,
    host_id text collate "C" not null,
    user_id text collate "C" not null,
    session_id text collate "C" not null,
    role text not null,
    reason text not null,
    masked_email text not null,
    began_at timestamp with time zone not null,
    ends_at timestamp with time zone not null,
    ended_at timestamp with time zone,
    ended_by text collate "C",
    constraint visit_pkey PRIMARY KEY (merchant_id, visit_id),
    constraint visit_end CHECK (((ended_at IS NULL) = (ended_by IS NULL))),
    constraint visit_of_two CHECK (((platform_id <> host_id) AND ((merchant_id = platform_id) OR (merchant_id = host_id)))),
    constraint visit_merchant_id_user_id_fkey FOREIGN KEY (merchant_id, user_id) REFERENCES user_account(merchant_id, user_id)
);
CREATE INDEX visit_open ON public.visit USING btree (merchant_id, user_id) WHERE (ended_at IS NULL);
alter table visit enable row level security;
alter table visit force row level security;
create policy tenant on visit as permissive for all to PUBLIC using ((merchant_id = current_setting('kafang.merchant_id'::text, true)));
grant insert, select on visit to kafang_app;
grant update (ended_at, ended_by) on visit to kafang_app;

CREATE OR REPLACE FUNCTION public.audit_v1(p_merchant text, p_id text, p_action text, p_object text, p_actor_kind text, p_actor text, p_session text, p_address text, p_request text, p_reason text, p_before jsonb, p_after jsonb)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  perform chain_open_v1(p_merchant);
  insert into audit_entry (merchant_id, audit_entry_id, action, object_id, actor_kind, actor_id, session_id, address,
      request_id, reason, before, after, recorded_at)
    values (p_merchant, p_id, p_action, p_object, p_actor_kind, p_actor, p_session, p_address, p_request, p_reason,
      p_before, p_after, clock_timestamp());
  return chain_append_v1(p_merchant, array[p_id]);
end
$function$;
grant execute on routine audit_v1(text,text,text,text,text,text,text,text,text,text,jsonb,jsonb) to kafang_app;

CREATE OR REPLACE FUNCTION public.chain_append_v1(p_merchant text, p_entries text[])
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
declare
  h chain_head;
  v_digest bytea := sha256(convert_to(coalesce(chain_lines_v1(p_merchant, p_entries), ''), 'UTF8'));
  v_sealed_at timestamptz := clock_timestamp();
begin
  select * into strict h from chain_head where merchant_id = p_merchant;
  h.hash := chain_hash_v1(p_merchant, h.segment_no + 1, h.last_seq + 1, h.last_seq + cardinality(p_entries), v_sealed_at,
    v_digest, h.hash);
  insert into segment (merchant_id, segment_no, first_seq, last_seq, format, entries, digest, hash, sealed_at)
    values (p_merchant, h.segment_no + 1, h.last_seq + 1, h.last_seq + cardinality(p_entries), 1, p_entries, v_digest,
      h.hash, v_sealed_at);
  update chain_head
    set segment_no = h.segment_no + 1, last_seq = h.last_seq + cardinality(p_entries), hash = h.hash,
      moved_at = v_sealed_at
    where merchant_id = p_merchant;
  return h.last_seq + cardinality(p_entries);
end
$function$;

CREATE OR REPLACE FUNCTION public.chain_hash_v1(p_merchant text, p_segment_no bigint, p_first_seq bigint, p_last_seq bigint, p_sealed_at timestamp with time zone, p_digest bytea, p_previous bytea)
 RETURNS bytea
 LANGUAGE sql
 STABLE
AS $function$
  select sha256(convert_to(concat_ws('|', 'kafang-segment-1', p_merchant, p_segment_no, p_first_seq, p_last_seq,
    to_char(p_sealed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), encode(p_digest, 'hex'),
    encode(p_previous, 'hex')), 'UTF8'))
$function$;
grant execute on routine chain_hash_v1(text,bigint,bigint,bigint,timestamp with time zone,bytea,bytea) to kafang_app;

CREATE OR REPLACE FUNCTION public.chain_heads_v1(p_since timestamp with time zone)
 RETURNS TABLE(merchant_id text, segment_no bigint, seq bigint, hash text, moved_at timestamp with time zone)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
  select h.merchant_id, h.segment_no, h.last_seq, encode(h.hash, 'hex'), h.moved_at from chain_head h
  where h.moved_at > p_since and h.segment_no > 0
  order by h.moved_at, h.merchant_id
$function$;
grant execute on routine chain_heads_v1(timestamp with time zone) to kafang_app;

CREATE OR REPLACE FUNCTION public.chain_lines_v1(p_merchant text, p_entries text[])
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET "TimeZone" TO 'UTC'
 SET plan_cache_mode TO 'force_generic_plan'
 SET enable_nestloop TO 'on'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
AS $function$
begin
  return (
    select string_agg(coalesce(o.line, a.line), E'\n' order by e.n)
    from unnest(p_entries) with ordinality e (id, n)
    left join lateral (
      select row_to_json(x)::text as line from (
        select o.operation_id, o.kind, o.status, o.card_id, o.target_id, o.amount, o.currency, o.store_id,
          o.legal_entity, o.terminal_id, o.operator, o.shift, o.receipt_no, o.request_no, o.business_date,
          o.occurred_at, o.recorded_at, o.decided_at, o.decided_version, o.device_id, o.device_seq, o.offline,
          o.api_key_id, o.user_id, o.session_id, o.details,
          (select json_agg(json_build_array(p.posting_no, p.from_account, p.to_account, p.unit, p.amount, p.card_id,
              p.lot_id, p.legal_entity) order by p.posting_no)
            from posting p where p.merchant_id = p_merchant and p.operation_id = o.operation_id) as postings,
          (select json_agg(json_build_array(g.card_id, g.version, g.status, g.principal_delta, g.bonus_delta,
              g.principal, g.bonus))
            from leg g where g.merchant_id = p_merchant and g.card_id = o.card_id and g.version = o.leg_version
              and g.operation_id = o.operation_id) as legs
        from (
          select *, coalesce(decided_version, 0) + 1 as leg_version from operation
          where merchant_id = p_merchant and operation_id = e.id offset 0) o) x
      limit 1) o on true
    left join lateral (
      select row_to_json(x)::text as line from (
        select a.audit_entry_id, a.action, a.object_id, a.actor_kind, a.actor_id, a.session_id, a.address,
          a.request_id, a.reason, a.before, a.after, a.recorded_at
        from audit_entry a where a.merchant_id = p_merchant and a.audit_entry_id = e.id) x
      limit 1) a on true);
end
$function$;
grant execute on routine chain_lines_v1(text,text[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.chain_open_v1(p_merchant text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  perform 1 from chain_head where merchant_id = p_merchant for no key update;
  if found then
    return;
  end if;
  insert into chain_head (merchant_id, segment_no, last_seq, hash, moved_at)
    values (p_merchant, 0, 0, decode(repeat('00', 32), 'hex'), clock_timestamp())
    on conflict do nothing;
  if not found then  -- somebody else has just begun it
    perform 1 from chain_head where merchant_id = p_merchant for no key update;
    return;
  end if;
  insert into unsequenced (merchant_id, post_no, operations)
    overriding system value
    select p_merchant, o.batch - 1000000000, array_agg(o.operation_id order by o.n) from (
      select operation_id, n, (n - 1) / 1000 as batch from (
        select operation_id, row_number() over (order by decided_at, decided_version nulls first, operation_id) as n
        from operation where merchant_id = p_merchant and operation_id <> all (
          array(select unnest(u.operations) from unsequenced u where u.merchant_id = p_merchant))) h) o
    group by o.batch;
end
$function$;

CREATE OR REPLACE FUNCTION public.policies_v1(p_merchant text, p_node text)
 RETURNS policy_row_v1[]
 LANGUAGE sql
 STABLE
AS $function$
  with recursive way as (
    select p_node collate "C" as node_id, 0 as height
    union all
    select coalesce(
        (select s.parent_id from placement s
          where s.merchant_id = p_merchant and s.store_id = w.node_id and s.until is null),
        (select a.parent_id from placement a
          where a.merchant_id = p_merchant and a.area_id = w.node_id and a.until is null),
        p_merchant), w.height + 1
      from way w where w.node_id <> p_merchant
  )
  select coalesce(array_agg(row(w.node_id, y.version, y.rules::text)::policy_row_v1 order by w.height desc), '{}')
    from way w
    cross join lateral (
      select x.version, x.rules from policy x where x.merchant_id = p_merchant and x.node_id = w.node_id
      order by x.version desc limit 1) y
$function$;
grant execute on routine policies_v1(text,text) to kafang_app;

CREATE OR REPLACE PROCEDURE public.post_many_v1(IN p_posts post_arguments_v1[], INOUT p_results post_result_v1[])
 LANGUAGE plpgsql
AS $procedure$
declare
  p post_arguments_v1;
  v_missed integer[];
begin
  p_results := '{}';
  foreach p in array p_posts loop
    v_missed := post_v1(
      p.merchant_id, p.guards, p.keys, p.card_inserts, p.cards, p.lot_inserts, p.lots, p.operations, p.postings,
      p.legs, p.redemption_inserts, p.redemptions, p.counters);
    commit;
    p_results := p_results || row(v_missed)::post_result_v1;
  end loop;
end
$procedure$;
grant execute on routine post_many_v1(post_arguments_v1[],post_result_v1[]) to kafang_app;

CREATE OR REPLACE PROCEDURE public.post_many_v2(IN p_posts post_arguments_v2[], INOUT p_results post_result_v1[])
 LANGUAGE plpgsql
AS $procedure$
declare
  p post_arguments_v2;
  v_missed integer[];
begin
  p_results := '{}';
  foreach p in array p_posts loop
    v_missed := post_v2(
      p.merchant_id, p.guards, p.keys, p.card_inserts, p.cards, p.lot_inserts, p.lots, p.operations, p.postings,
      p.legs, p.redemption_inserts, p.redemptions, p.counters);
    commit;
    p_results := p_results || row(v_missed)::post_result_v1;
  end loop;
end
$procedure$;
grant execute on routine post_many_v2(post_arguments_v2[],post_result_v1[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.post_v1(p_merchant text, p_guards guard_v1[], p_keys key_v1[], p_card_inserts card_insert_v1[], p_cards card_image_v1[], p_lot_inserts lot_insert_v1[], p_lots lot_image_v1[], p_operations operation_v1[], p_postings posting_v1[], p_legs leg_v1[], p_redemption_inserts redemption_insert_v1[], p_redemptions redemption_image_v1[], p_counters counter_delta_v1[])
 RETURNS integer[]
 LANGUAGE plpgsql
AS $function$
declare
  v_missed integer[] := '{}';
  v_held text[];
  v_rows bigint;
  v_expected bigint;
begin
  perform set_config('kafang.merchant_id', p_merchant, true);

  -- 1. Lock and check. Fewer rows than guards: find the components they belong to, and leave all of their rows out.
  select coalesce(array_agg(h.id), '{}') into v_held from (
    select c.card_id as id from card c
      join unnest(p_guards) g on g.kind = 'card' and g.id = c.card_id and g.version = c.version
      where c.merchant_id = p_merchant and c.card_id = any (array(select g.id from unnest(p_guards) g))
      order by c.card_id
      for no key update of c skip locked) h;
  if cardinality(p_redemptions) > 0 then
    select v_held || coalesce(array_agg(h.id), '{}') into v_held from (
      select r.redemption_id as id from redemption r
        join unnest(p_guards) g on g.kind = 'redemption' and g.id = r.redemption_id and g.version = r.version
        where r.merchant_id = p_merchant and r.redemption_id = any (array(select g.id from unnest(p_guards) g))
        order by r.redemption_id
        for no key update of r skip locked) h;
  end if;
  if cardinality(v_held) < cardinality(p_guards) then
    select array_agg(distinct g.component) into v_missed from unnest(p_guards) g where g.id <> all (v_held);
    p_keys := array(select r from unnest(p_keys) r where r.component <> all (v_missed));
    p_card_inserts := array(select r from unnest(p_card_inserts) r where r.component <> all (v_missed));
    p_cards := array(select r from unnest(p_cards) r where r.component <> all (v_missed));
    p_lot_inserts := array(select r from unnest(p_lot_inserts) r where r.component <> all (v_missed));
    p_lots := array(select r from unnest(p_lots) r where r.component <> all (v_missed));
    p_operations := array(select r from unnest(p_operations) r where r.component <> all (v_missed));
    p_postings := array(select r from unnest(p_postings) r where r.component <> all (v_missed));
    p_legs := array(select r from unnest(p_legs) r where r.component <> all (v_missed));
    p_redemption_inserts := array(select r from unnest(p_redemption_inserts) r where r.component <> all (v_missed));
    p_redemptions := array(select r from unnest(p_redemptions) r where r.component <> all (v_missed));
    p_counters := array(select r from unnest(p_counters) r where r.component <> all (v_missed));
  end if;

  -- Nobody closes a day of these stores from here to the commit; the insert below sees what was closed before.
  perform pg_advisory_xact_lock_shared(s.day) from (
    select distinct hashtextextended(p_merchant || o.store_id, 0) as day
      from unnest(p_operations) o where o.store_id is not null order by 1) s;

  -- 2. Keys first of all writes: a taken key fails the batch before anything else is done.
  insert into idempotency_key
      (merchant_id, key_hash, fingerprint, outcome, operation_id, http_status, answer, created_at)
    select p_merchant, k.key_hash, k.fingerprint, k.outcome, k.operation_id, k.http_status, k.answer, k.created_at
      from unnest(p_keys) k order by k.key_hash;

  -- 3. New cards and lots, then the final images of those that exist.
  if cardinality(p_card_inserts) > 0 then
    insert into card (merchant_id, card_id, card_number, template_id, template_version, currency, status, version,
        principal, bonus, activated_at, expires_at, expires_on, last_operation_at, created_at)
      select p_merchant, c.card_id, c.card_number, c.template_id, c.template_version, c.currency, c.status, 1,
          0, 0, c.activated_at, c.expires_at, c.expires_on, c.created_at, c.created_at
        from unnest(p_card_inserts) c order by c.card_number;
  end if;
  update card c
    set status = i.status, version = i.version, principal = i.principal, bonus = i.bonus, activated_at = i.activated_at,
        expires_at = i.expires_at, expires_on = i.expires_on, last_operation_at = i.last_operation_at
    from unnest(p_cards) i
    where c.merchant_id = p_merchant and c.card_id = i.card_id
      and c.card_id = any (array(select g.card_id from unnest(p_cards) g));
  get diagnostics v_rows = row_count;
  if v_rows <> cardinality(p_cards) then
    raise exception 'card images: % of %', v_rows, cardinality(p_cards) using errcode = 'KF003';
  end if;
  update lot l
    set remaining = i.remaining
    from unnest(p_lots) i
    where l.merchant_id = p_merchant and l.card_id = i.card_id and l.lot_id = i.lot_id
      and l.card_id = any (array(select g.card_id from unnest(p_lots) g))
      and l.remaining = i.remaining_old;
  get diagnostics v_rows = row_count;
  if v_rows <> cardinality(p_lots) then
    raise exception 'lot images: % of %', v_rows, cardinality(p_lots) using errcode = 'KF003';
  end if;
  if cardinality(p_lot_inserts) > 0 then
    insert into lot (merchant_id, card_id, lot_id, account, unit, amount, remaining, expires_at, expires_on,
        operation_id, created_at)
      select p_merchant, l.card_id, l.lot_id, l.account, l.unit, l.amount, l.remaining, l.expires_at, l.expires_on,
          l.operation_id, l.created_at
        from unnest(p_lot_inserts) l;
  end if;

  -- 4. The immutable records, parents first.
  insert into operation (merchant_id, operation_id, kind, status, card_id, target_id, amount, currency, store_id,
      legal_entity, terminal_id, operator, shift, receipt_no, request_no, business_date, occurred_at, recorded_at,
      decided_at, decided_version, api_key_id, details)
    select p_merchant, o.operation_id, o.kind, o.status, o.card_id, o.target_id, o.amount, o.currency, o.store_id,
        o.legal_entity, o.terminal_id, o.operator, o.shift, o.receipt_no, o.request_no, o.business_date, o.occurred_at,
        o.recorded_at, o.decided_at, o.decided_version, o.api_key_id, o.details
      from unnest(p_operations) o
      where not exists (
        select from store s
        where s.merchant_id = p_merchant and s.store_id = o.store_id and s.closed_through >= o.business_date);
  get diagnostics v_rows = row_count;
  if v_rows <> cardinality(p_operations) then
    raise exception 'a business date is closed' using errcode = 'KF005';
  end if;
  if cardinality(p_redemption_inserts) > 0 then
    insert into redemption (merchant_id, redemption_id, card_id, store_id, request_no, status, version, currency,
        amount, refunded, lines, refunded_lines)
      select p_merchant, r.redemption_id, r.card_id, r.store_id, r.request_no, r.status, r.version, r.currency,
          r.amount, r.refunded, r.lines, r.refunded_lines
        from unnest(p_redemption_inserts) r order by r.store_id, r.request_no;
  end if;
  insert into posting (merchant_id, operation_id, posting_no, from_account, to_account, unit, amount, card_id, lot_id,
      legal_entity)
    select p_merchant, p.operation_id, p.posting_no, p.from_account, p.to_account, p.unit, p.amount, p.card_id,
        p.lot_id, p.legal_entity
      from unnest(p_postings) p;
  insert into leg (merchant_id, card_id, version, operation_id, status, principal_delta, bonus_delta, principal, bonus)
    select p_merchant, g.card_id, g.version, g.operation_id, g.status, g.principal_delta, g.bonus_delta, g.principal,
        g.bonus
      from unnest(p_legs) g;

  -- 5. Refunds change their redemption.
  if cardinality(p_redemptions) > 0 then
    update redemption r
      set status = i.status, version = i.version, refunded = i.refunded, refunded_lines = i.refunded_lines
      from unnest(p_redemptions) i
      where r.merchant_id = p_merchant and r.redemption_id = i.redemption_id and r.version = i.version_old
        and r.redemption_id = any (array(select g.redemption_id from unnest(p_redemptions) g));
    get diagnostics v_rows = row_count;
    if v_rows <> cardinality(p_redemptions) then
      raise exception 'redemption images: % of %', v_rows, cardinality(p_redemptions) using errcode = 'KF003';
    end if;
  end if;

  -- 6. Shared counters: one summed delta each, never past the cap.
  if cardinality(p_counters) > 0 then
    update template_counter t
      set used = t.used + d.delta
      from (select x.template_id, x.counter, sum(x.delta)::bigint as delta
              from unnest(p_counters) x
              group by x.template_id, x.counter order by x.template_id, x.counter) d
      where t.merchant_id = p_merchant and t.template_id = d.template_id and t.counter = d.counter
        and (t.cap is null or t.used + d.delta <= t.cap);
    get diagnostics v_rows = row_count;
    select count(*) into v_expected from (select distinct x.template_id, x.counter from unnest(p_counters) x) d;
    if v_rows <> v_expected then
      raise exception 'a counter would pass its cap' using errcode = 'KF004';
    end if;
  end if;

  -- 7. To be numbered once it is committed. The post's number is taken here, while it holds its cards.
  if cardinality(p_operations) > 0 then
    insert into unsequenced (merchant_id, operations)
      values (p_merchant, array(select o.operation_id from unnest(p_operations) o));
  end if;
  return v_missed;
end
$function$;
grant execute on routine post_v1(text,guard_v1[],key_v1[],card_insert_v1[],card_image_v1[],lot_insert_v1[],lot_image_v1[],operation_v1[],posting_v1[],leg_v1[],redemption_insert_v1[],redemption_image_v1[],counter_delta_v1[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.post_v2(p_merchant text, p_guards guard_v1[], p_keys key_v1[], p_card_inserts card_insert_v1[], p_cards card_image_v1[], p_lot_inserts lot_insert_v1[], p_lots lot_image_v1[], p_operations operation_v2[], p_postings posting_v1[], p_legs leg_v1[], p_redemption_inserts redemption_insert_v1[], p_redemptions redemption_image_v1[], p_counters counter_delta_v1[])
 RETURNS integer[]
 LANGUAGE plpgsql
AS $function$
declare
  v_missed integer[] := '{}';
  v_held text[];
  v_rows bigint;
  v_expected bigint;
begin
  perform set_config('kafang.merchant_id', p_merchant, true);

  -- 1. Lock and check. Fewer rows than guards: find the components they belong to, and leave all of their rows out.
  select coalesce(array_agg(h.id), '{}') into v_held from (
    select c.card_id as id from card c
      join unnest(p_guards) g on g.kind = 'card' and g.id = c.card_id and g.version = c.version
      where c.merchant_id = p_merchant and c.card_id = any (array(select g.id from unnest(p_guards) g))
      order by c.card_id
      for no key update of c skip locked) h;
  if cardinality(p_redemptions) > 0 then
    select v_held || coalesce(array_agg(h.id), '{}') into v_held from (
      select r.redemption_id as id from redemption r
        join unnest(p_guards) g on g.kind = 'redemption' and g.id = r.redemption_id and g.version = r.version
        where r.merchant_id = p_merchant and r.redemption_id = any (array(select g.id from unnest(p_guards) g))
        order by r.redemption_id
        for no key update of r skip locked) h;
  end if;
  if cardinality(v_held) < cardinality(p_guards) then
    select array_agg(distinct g.component) into v_missed from unnest(p_guards) g where g.id <> all (v_held);
    p_keys := array(select r from unnest(p_keys) r where r.component <> all (v_missed));
    p_card_inserts := array(select r from unnest(p_card_inserts) r where r.component <> all (v_missed));
    p_cards := array(select r from unnest(p_cards) r where r.component <> all (v_missed));
    p_lot_inserts := array(select r from unnest(p_lot_inserts) r where r.component <> all (v_missed));
    p_lots := array(select r from unnest(p_lots) r where r.component <> all (v_missed));
    p_operations := array(select r from unnest(p_operations) r where r.component <> all (v_missed));
    p_postings := array(select r from unnest(p_postings) r where r.component <> all (v_missed));
    p_legs := array(select r from unnest(p_legs) r where r.component <> all (v_missed));
    p_redemption_inserts := array(select r from unnest(p_redemption_inserts) r where r.component <> all (v_missed));
    p_redemptions := array(select r from unnest(p_redemptions) r where r.component <> all (v_missed));
    p_counters := array(select r from unnest(p_counters) r where r.component <> all (v_missed));
  end if;

  -- Nobody closes a day of these stores from here to the commit; the insert below sees what was closed before.
  perform pg_advisory_xact_lock_shared(s.day) from (
    select distinct hashtextextended(p_merchant || o.store_id, 0) as day
      from unnest(p_operations) o where o.store_id is not null order by 1) s;

  -- 2. Keys first of all writes: a taken key fails the batch before anything else is done.
  insert into idempotency_key
      (merchant_id, key_hash, fingerprint, outcome, operation_id, http_status, answer, created_at)
    select p_merchant, k.key_hash, k.fingerprint, k.outcome, k.operation_id, k.http_status, k.answer, k.created_at
      from unnest(p_keys) k order by k.key_hash;

  -- 3. New cards and lots, then the final images of those that exist.
  if cardinality(p_card_inserts) > 0 then
    insert into card (merchant_id, card_id, card_number, template_id, template_version, currency, status, version,
        principal, bonus, activated_at, expires_at, expires_on, last_operation_at, created_at)
      select p_merchant, c.card_id, c.card_number, c.template_id, c.template_version, c.currency, c.status, 1,
          0, 0, c.activated_at, c.expires_at, c.expires_on, c.created_at, c.created_at
        from unnest(p_card_inserts) c order by c.card_number;
  end if;
  update card c
    set status = i.status, version = i.version, principal = i.principal, bonus = i.bonus, activated_at = i.activated_at,
        expires_at = i.expires_at, expires_on = i.expires_on, last_operation_at = i.last_operation_at
    from unnest(p_cards) i
    where c.merchant_id = p_merchant and c.card_id = i.card_id
      and c.card_id = any (array(select g.card_id from unnest(p_cards) g));
  get diagnostics v_rows = row_count;
  if v_rows <> cardinality(p_cards) then
    raise exception 'card images: % of %', v_rows, cardinality(p_cards) using errcode = 'KF003';
  end if;
  update lot l
    set remaining = i.remaining
    from unnest(p_lots) i
    where l.merchant_id = p_merchant and l.card_id = i.card_id and l.lot_id = i.lot_id
      and l.card_id = any (array(select g.card_id from unnest(p_lots) g))
      and l.remaining = i.remaining_old;
  get diagnostics v_rows = row_count;
  if v_rows <> cardinality(p_lots) then
    raise exception 'lot images: % of %', v_rows, cardinality(p_lots) using errcode = 'KF003';
  end if;
  if cardinality(p_lot_inserts) > 0 then
    insert into lot (merchant_id, card_id, lot_id, account, unit, amount, remaining, expires_at, expires_on,
        operation_id, created_at)
      select p_merchant, l.card_id, l.lot_id, l.account, l.unit, l.amount, l.remaining, l.expires_at, l.expires_on,
          l.operation_id, l.created_at
        from unnest(p_lot_inserts) l;
  end if;

  -- 4. The immutable records, parents first.
  insert into operation (merchant_id, operation_id, kind, status, card_id, target_id, amount, currency, store_id,
      legal_entity, terminal_id, operator, shift, receipt_no, request_no, business_date, occurred_at, recorded_at,
      decided_at, decided_version, api_key_id, user_id, session_id, details)
    select p_merchant, o.operation_id, o.kind, o.status, o.card_id, o.target_id, o.amount, o.currency, o.store_id,
        o.legal_entity, o.terminal_id, o.operator, o.shift, o.receipt_no, o.request_no, o.business_date, o.occurred_at,
        o.recorded_at, o.decided_at, o.decided_version, o.api_key_id, o.user_id, o.session_id, o.details
      from unnest(p_operations) o
      where not exists (
        select from store s
        where s.merchant_id = p_merchant and s.store_id = o.store_id and s.closed_through >= o.business_date);
  get diagnostics v_rows = row_count;
  if v_rows <> cardinality(p_operations) then
    raise exception 'a business date is closed' using errcode = 'KF005';
  end if;
  if cardinality(p_redemption_inserts) > 0 then
    insert into redemption (merchant_id, redemption_id, card_id, store_id, request_no, status, version, currency,
        amount, refunded, lines, refunded_lines)
      select p_merchant, r.redemption_id, r.card_id, r.store_id, r.request_no, r.status, r.version, r.currency,
          r.amount, r.refunded, r.lines, r.refunded_lines
        from unnest(p_redemption_inserts) r order by r.store_id, r.request_no;
  end if;
  insert into posting (merchant_id, operation_id, posting_no, from_account, to_account, unit, amount, card_id, lot_id,
      legal_entity)
    select p_merchant, p.operation_id, p.posting_no, p.from_account, p.to_account, p.unit, p.amount, p.card_id,
        p.lot_id, p.legal_entity
      from unnest(p_postings) p;
  insert into leg (merchant_id, card_id, version, operation_id, status, principal_delta, bonus_delta, principal, bonus)
    select p_merchant, g.card_id, g.version, g.operation_id, g.status, g.principal_delta, g.bonus_delta, g.principal,
        g.bonus
      from unnest(p_legs) g;

  -- 5. Refunds change their redemption.
  if cardinality(p_redemptions) > 0 then
    update redemption r
      set status = i.status, version = i.version, refunded = i.refunded, refunded_lines = i.refunded_lines
      from unnest(p_redemptions) i
      where r.merchant_id = p_merchant and r.redemption_id = i.redemption_id and r.version = i.version_old
        and r.redemption_id = any (array(select g.redemption_id from unnest(p_redemptions) g));
    get diagnostics v_rows = row_count;
    if v_rows <> cardinality(p_redemptions) then
      raise exception 'redemption images: % of %', v_rows, cardinality(p_redemptions) using errcode = 'KF003';
    end if;
  end if;

  -- 6. Shared counters: one summed delta each, never past the cap.
  if cardinality(p_counters) > 0 then
    update template_counter t
      set used = t.used + d.delta
      from (select x.template_id, x.counter, sum(x.delta)::bigint as delta
              from unnest(p_counters) x
              group by x.template_id, x.counter order by x.template_id, x.counter) d
      where t.merchant_id = p_merchant and t.template_id = d.template_id and t.counter = d.counter
        and (t.cap is null or t.used + d.delta <= t.cap);
    get diagnostics v_rows = row_count;
    select count(*) into v_expected from (select distinct x.template_id, x.counter from unnest(p_counters) x) d;
    if v_rows <> v_expected then
      raise exception 'a counter would pass its cap' using errcode = 'KF004';
    end if;
  end if;

  -- 7. To be numbered once it is committed. The post's number is taken here, while it holds its cards.
  if cardinality(p_operations) > 0 then
    insert into unsequenced (merchant_id, operations)
      values (p_merchant, array(select o.operation_id from unnest(p_operations) o));
  end if;
  return v_missed;
end
$function$;
grant execute on routine post_v2(text,guard_v1[],key_v1[],card_insert_v1[],card_image_v1[],lot_insert_v1[],lot_image_v1[],operation_v2[],posting_v1[],leg_v1[],redemption_insert_v1[],redemption_image_v1[],counter_delta_v1[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.reach_v1(p_merchant text, p_area text)
 RETURNS text[]
 LANGUAGE sql
 STABLE
AS $function$
  with recursive inside as (
    select p_area collate "C" as area_id
    union
    select p.area_id from inside i
      join placement p on p.merchant_id = p_merchant and p.parent_id = i.area_id and p.until is null
      where p.area_id is not null
  )
  select coalesce(array_agg(p.store_id order by p.store_id), '{}')
    from inside i
    join placement p on p.merchant_id = p_merchant and p.parent_id = i.area_id and p.until is null
    where p.store_id is not null
$function$;
grant execute on routine reach_v1(text,text) to kafang_app;

CREATE OR REPLACE FUNCTION public.read_many_v1(p_reads read_arguments_v1[])
 RETURNS SETOF read_result_v1
 LANGUAGE plpgsql
AS $function$
declare
  r read_arguments_v1;
begin
  foreach r in array p_reads loop
    return query select * from read_v1(
      r.merchant_id, r.lock, r.card_numbers, r.keys, r.request_stores, r.request_nos, r.operations, r.templates);
  end loop;
end
$function$;
grant execute on routine read_many_v1(read_arguments_v1[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.read_state_v1(p_merchant text, p_card_numbers text[], p_keys bytea[], p_request_stores text[], p_request_nos text[], p_operations text[], p_templates text[], OUT epoch bigint, OUT merchant_status text, OUT test_now timestamp with time zone, OUT clock timestamp with time zone, OUT cards card_row_v1[], OUT lots lot_row_v1[], OUT keys key_row_v1[], OUT request_nos request_no_row_v1[], OUT operations operation_row_v1[], OUT redemptions redemption_row_v1[], OUT postings posting_row_v1[], OUT counters counter_row_v1[])
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
begin
  with found as materialized (
    select c.* from card c where c.merchant_id = p_merchant and c.card_number = any (p_card_numbers)
  )
  select m.epoch, m.status, m.test_now, clock_timestamp(),
    array(select row(f.card_id, f.card_number, f.template_id, f.template_version, f.currency, f.status, f.version,
            f.principal, f.bonus, f.activated_at, f.expires_at, f.expires_on, f.last_operation_at,
            f.created_at)::card_row_v1
          from found f),
    array(select row(l.card_id, l.lot_id, l.account, l.unit, l.amount, l.remaining, l.expires_at,
            l.expires_on)::lot_row_v1
          from found f cross join lateral (
            select l.* from lot l where l.merchant_id = p_merchant and l.card_id = f.card_id and l.remaining > 0 offset 0) l),
    array(select row(k.key_hash, k.fingerprint, k.outcome, k.operation_id, k.http_status, k.answer,
            k.created_at)::key_row_v1
          from idempotency_key k where k.merchant_id = p_merchant and k.key_hash = any (p_keys)),
    array(select row(r.store_id, r.request_no, r.redemption_id)::request_no_row_v1
          from unnest(p_request_stores, p_request_nos) q (store_id, request_no) cross join lateral (
            select r.* from redemption r
            where r.merchant_id = p_merchant and r.store_id = q.store_id and r.request_no = q.request_no offset 0) r)
    into epoch, merchant_status, test_now, clock, cards, lots, keys, request_nos
    from merchant m where m.merchant_id = p_merchant;

  if cardinality(p_operations) > 0 then
    select
      array(select row(o.operation_id, o.kind, o.status, o.card_id, o.store_id, o.amount, coalesce(o.api_key_id, o.user_id),
              (select u.operation_id from operation u where u.merchant_id = p_merchant and u.target_id = o.operation_id
                 and u.status = 'accepted' and u.kind = 'reversal' limit 1))::operation_row_v1
            from operation o where o.merchant_id = p_merchant and o.operation_id = any (p_operations)),
      array(select row(r.redemption_id, r.card_id, r.store_id, r.request_no, r.status, r.version, r.currency, r.amount,
              r.refunded, r.lines, r.refunded_lines, o.decided_at, o.business_date)::redemption_row_v1
            from redemption r
            join operation o on o.merchant_id = p_merchant and o.operation_id = r.redemption_id
              and o.operation_id = any (p_operations)
            where r.merchant_id = p_merchant and r.redemption_id = any (p_operations)),
      array(select row(p.operation_id, p.posting_no, p.from_account, p.to_account, p.amount, p.lot_id)::posting_row_v1
            from posting p
            where p.merchant_id = p_merchant and p.operation_id = any (p_operations)
            order by p.operation_id, p.posting_no),
      -- Lots of those operations that are empty, for what goes back into them.
      lots || array(
            select row(l.card_id, l.lot_id, l.account, l.unit, l.amount, l.remaining, l.expires_at,
              l.expires_on)::lot_row_v1
            from lot l
            where l.merchant_id = p_merchant
              and l.card_id = any (array(select p.card_id from posting p
                where p.merchant_id = p_merchant and p.operation_id = any (p_operations)))
              and l.remaining = 0 and (l.card_id, l.lot_id) in (
              select p.card_id, p.lot_id from posting p
              where p.merchant_id = p_merchant and p.operation_id = any (p_operations)))
      into operations, redemptions, postings, lots;
  end if;
  if cardinality(p_templates) > 0 then
    counters := array(select row(t.template_id, t.counter, t.used, t.cap)::counter_row_v1
      from template_counter t where t.merchant_id = p_merchant and t.template_id = any (p_templates));
  end if;
end
$function$;
grant execute on routine read_state_v1(text,text[],bytea[],text[],text[],text[],text[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.read_v1(p_merchant text, p_lock boolean, p_card_numbers text[], p_keys bytea[], p_request_stores text[], p_request_nos text[], p_operations text[], p_templates text[], OUT epoch bigint, OUT merchant_status text, OUT test_now timestamp with time zone, OUT clock timestamp with time zone, OUT cards card_row_v1[], OUT lots lot_row_v1[], OUT keys key_row_v1[], OUT request_nos request_no_row_v1[], OUT operations operation_row_v1[], OUT redemptions redemption_row_v1[], OUT postings posting_row_v1[], OUT counters counter_row_v1[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
begin
  perform set_config('kafang.merchant_id', p_merchant, true);
  if p_lock then
    perform 1 from card c
      where c.merchant_id = p_merchant and c.card_number = any (p_card_numbers)
      order by c.card_id
      for no key update;
  end if;
  select * into epoch, merchant_status, test_now, clock, cards, lots, keys, request_nos, operations, redemptions,
      postings, counters
    from read_state_v1(
      p_merchant, p_card_numbers, p_keys, p_request_stores, p_request_nos, p_operations, p_templates);
end
$function$;
grant execute on routine read_v1(text,boolean,text[],bytea[],text[],text[],text[],text[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.roles_v1(p_merchant text, p_user text)
 RETURNS grant_row_v1[]
 LANGUAGE sql
 STABLE
AS $function$
  select array(
    select row(g.role,
        case when g.store_id is not null then array[g.store_id]
          when g.area_id is not null then reach_v1(p_merchant, g.area_id) end,
        s.contract)::grant_row_v1
      from role_grant g
      left join store s on s.merchant_id = p_merchant and s.store_id = g.store_id
      where g.merchant_id = p_merchant and g.user_id = p_user and g.revoked_at is null)
$function$;
grant execute on routine roles_v1(text,text) to kafang_app;

CREATE OR REPLACE FUNCTION public.sequence_v1(p_merchants text[])
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
declare
  v_merchant text;
  v_entries text[];
  v_count integer := 0;
begin
  foreach v_merchant in array p_merchants loop
    perform set_config('kafang.merchant_id', v_merchant, true);
    perform chain_open_v1(v_merchant);
    with part as (
      select post_no from (
        select post_no, sum(cardinality(operations)) over (order by post_no) - cardinality(operations) as ahead
        from unsequenced where merchant_id = v_merchant order by post_no limit 250) oldest
      where ahead < 250),
    numbered as (
      delete from unsequenced where merchant_id = v_merchant and post_no = any (array(select post_no from part))
      returning post_no, operations)
    select array_agg(o.id order by p.post_no, o.place) into v_entries
      from numbered p cross join unnest(p.operations) with ordinality o (id, place);
    if v_entries is not null then
      perform chain_append_v1(v_merchant, v_entries);
      v_count := v_count + cardinality(v_entries);
    end if;
  end loop;
  return v_count;
end
$function$;
grant execute on routine sequence_v1(text[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.terms_v1(p_merchant text, p_hashes bytea[], p_stores text[], p_templates text[], p_versions integer[], OUT merchant_id text, OUT mode text, OUT status text, OUT currency text, OUT time_zone text, OUT epoch bigint, OUT test_now timestamp with time zone, OUT clock timestamp with time zone, OUT credentials credential_row_v1[], OUT stores store_row_v1[], OUT templates template_row_v1[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
begin
  perform set_config('kafang.merchant_id', p_merchant, true);
  select m.merchant_id, m.mode, m.status, m.currency, m.time_zone, m.epoch, m.test_now, clock_timestamp(),
    array(select row(k.api_key_id, k.secret_hash, k.scopes, k.store_id, k.expires_at)::credential_row_v1
          from api_key k
          where k.merchant_id = p_merchant and k.secret_hash = any (p_hashes) and k.status = 'active'),
    array(select row(s.store_id, s.legal_entity, s.time_zone, s.day_cutoff, s.status)::store_row_v1
          from store s where s.merchant_id = p_merchant and s.store_id = any (p_stores)),
    array(select row(v.template_id, w.version, v.version, v.rules::text)::template_row_v1
          from unnest(p_templates, p_versions) w (template_id, version)
          join template_version v on v.merchant_id = p_merchant and v.template_id = w.template_id
            and v.version = case when w.version > 0 then w.version else (
              select max(x.version) from template_version x
              where x.merchant_id = p_merchant and x.template_id = w.template_id) end)
    into merchant_id, mode, status, currency, time_zone, epoch, test_now, clock, credentials, stores, templates
    from merchant m where m.merchant_id = p_merchant;
end
$function$;
grant execute on routine terms_v1(text,bytea[],text[],text[],integer[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.terms_v2(p_merchant text, p_hashes bytea[], p_stores text[], p_templates text[], p_versions integer[], OUT merchant_id text, OUT mode text, OUT status text, OUT currency text, OUT time_zone text, OUT epoch bigint, OUT test_now timestamp with time zone, OUT clock timestamp with time zone, OUT credentials credential_row_v1[], OUT stores store_row_v2[], OUT templates template_row_v1[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
begin
  perform set_config('kafang.merchant_id', p_merchant, true);
  select m.merchant_id, m.mode, m.status, m.currency, m.time_zone, m.epoch, m.test_now, clock_timestamp(),
    array(select row(k.api_key_id, k.secret_hash, k.scopes, k.store_id, k.expires_at)::credential_row_v1
          from api_key k
          where k.merchant_id = p_merchant and k.secret_hash = any (p_hashes) and k.status = 'active'),
    array(select row(s.store_id, s.legal_entity, s.time_zone, s.day_cutoff, s.status, s.closed_through)::store_row_v2
          from store s where s.merchant_id = p_merchant and s.store_id = any (p_stores)),
    array(select row(v.template_id, w.version, v.version, v.rules::text)::template_row_v1
          from unnest(p_templates, p_versions) w (template_id, version)
          join template_version v on v.merchant_id = p_merchant and v.template_id = w.template_id
            and v.version = case when w.version > 0 then w.version else (
              select max(x.version) from template_version x
              where x.merchant_id = p_merchant and x.template_id = w.template_id) end)
    into merchant_id, mode, status, currency, time_zone, epoch, test_now, clock, credentials, stores, templates
    from merchant m where m.merchant_id = p_merchant;
end
$function$;
grant execute on routine terms_v2(text,bytea[],text[],text[],integer[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.terms_v3(p_merchant text, p_hashes bytea[], p_stores text[], p_templates text[], p_versions integer[], OUT merchant_id text, OUT mode text, OUT status text, OUT currency text, OUT time_zone text, OUT epoch bigint, OUT test_now timestamp with time zone, OUT clock timestamp with time zone, OUT credentials credential_row_v2[], OUT sessions session_row_v1[], OUT stores store_row_v2[], OUT templates template_row_v1[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
begin
  perform set_config('kafang.merchant_id', p_merchant, true);
  select m.merchant_id, m.mode, m.status, m.currency, m.time_zone, m.epoch, m.test_now, clock_timestamp(),
    array(select row(k.api_key_id, k.secret_hash,
            case when s.contract is null then k.scopes
              else array(select unnest(k.scopes) intersect select unnest(s.contract)) end,
            k.store_id, k.expires_at, k.networks)::credential_row_v2
          from api_key k
          left join store s on s.merchant_id = p_merchant and s.store_id = k.store_id
          where k.merchant_id = p_merchant and k.secret_hash = any (p_hashes) and k.status = 'active'),
    array(select row(u.session_id, u.user_id, u.secret_hash, u.second_factor, u.expires_at,
            roles_v1(p_merchant, u.user_id))::session_row_v1
          from user_session u
          join user_account a on a.merchant_id = p_merchant and a.user_id = u.user_id and a.status = 'active'
          where u.merchant_id = p_merchant and u.secret_hash = any (p_hashes) and u.ended_at is null),
    array(select row(s.store_id, s.legal_entity, s.time_zone, s.day_cutoff, s.status, s.closed_through)::store_row_v2
          from store s where s.merchant_id = p_merchant and s.store_id = any (p_stores)),
    array(select row(v.template_id, w.version, v.version, v.rules::text)::template_row_v1
          from unnest(p_templates, p_versions) w (template_id, version)
          join template_version v on v.merchant_id = p_merchant and v.template_id = w.template_id
            and v.version = case when w.version > 0 then w.version else (
              select max(x.version) from template_version x
              where x.merchant_id = p_merchant and x.template_id = w.template_id) end)
    into merchant_id, mode, status, currency, time_zone, epoch, test_now, clock, credentials, sessions, stores,
      templates
    from merchant m where m.merchant_id = p_merchant;
end
$function$;
grant execute on routine terms_v3(text,bytea[],text[],text[],integer[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.terms_v4(p_merchant text, p_hashes bytea[], p_stores text[], p_templates text[], p_versions integer[], OUT merchant_id text, OUT mode text, OUT status text, OUT currency text, OUT time_zone text, OUT epoch bigint, OUT test_now timestamp with time zone, OUT clock timestamp with time zone, OUT credentials credential_row_v2[], OUT sessions session_row_v1[], OUT stores store_row_v3[], OUT templates template_row_v1[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
begin
  perform set_config('kafang.merchant_id', p_merchant, true);
  select m.merchant_id, m.mode, m.status, m.currency, m.time_zone, m.epoch, m.test_now, clock_timestamp(),
    array(select row(k.api_key_id, k.secret_hash,
            case when s.contract is null then k.scopes
              else array(select unnest(k.scopes) intersect select unnest(s.contract)) end,
            k.store_id, k.expires_at, k.networks)::credential_row_v2
          from api_key k
          left join store s on s.merchant_id = p_merchant and s.store_id = k.store_id
          where k.merchant_id = p_merchant and k.secret_hash = any (p_hashes) and k.status = 'active'),
    array(select row(u.session_id, u.user_id, u.secret_hash, u.second_factor, u.expires_at,
            roles_v1(p_merchant, u.user_id))::session_row_v1
          from user_session u
          join user_account a on a.merchant_id = p_merchant and a.user_id = u.user_id and a.status = 'active'
          where u.merchant_id = p_merchant and u.secret_hash = any (p_hashes) and u.ended_at is null),
    array(select row(s.store_id, s.legal_entity, s.time_zone, s.day_cutoff, s.status, s.closed_through,
            policies_v1(p_merchant, s.store_id))::store_row_v3
          from store s where s.merchant_id = p_merchant and s.store_id = any (p_stores)),
    array(select row(v.template_id, w.version, v.version, v.rules::text)::template_row_v1
          from unnest(p_templates, p_versions) w (template_id, version)
          join template_version v on v.merchant_id = p_merchant and v.template_id = w.template_id
            and v.version = case when w.version > 0 then w.version else (
              select max(x.version) from template_version x
              where x.merchant_id = p_merchant and x.template_id = w.template_id) end)
    into merchant_id, mode, status, currency, time_zone, epoch, test_now, clock, credentials, sessions, stores,
      templates
    from merchant m where m.merchant_id = p_merchant;
end
$function$;
grant execute on routine terms_v4(text,bytea[],text[],text[],integer[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.terms_v5(p_merchant text, p_hashes bytea[], p_stores text[], p_templates text[], p_versions integer[], OUT merchant_id text, OUT mode text, OUT status text, OUT currency text, OUT time_zone text, OUT epoch bigint, OUT test_now timestamp with time zone, OUT clock timestamp with time zone, OUT credentials credential_row_v3[], OUT sessions session_row_v1[], OUT stores store_row_v3[], OUT templates template_row_v1[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
begin
  perform set_config('kafang.merchant_id', p_merchant, true);
  select m.merchant_id, m.mode, m.status, m.currency, m.time_zone, m.epoch, m.test_now, clock_timestamp(),
    array(select row(k.api_key_id, k.secret_hash,
            case when s.contract is null then k.scopes
              else array(select unnest(k.scopes) intersect select unnest(s.contract)) end,
            k.store_id, k.expires_at, k.networks, k.signed)::credential_row_v3
          from api_key k
          left join store s on s.merchant_id = p_merchant and s.store_id = k.store_id
          where k.merchant_id = p_merchant and k.secret_hash = any (p_hashes) and k.status = 'active'),
    array(select row(u.session_id, u.user_id, u.secret_hash, u.second_factor, u.expires_at,
            roles_v1(p_merchant, u.user_id))::session_row_v1
          from user_session u
          join user_account a on a.merchant_id = p_merchant and a.user_id = u.user_id and a.status = 'active'
          where u.merchant_id = p_merchant and u.secret_hash = any (p_hashes) and u.ended_at is null),
    array(select row(s.store_id, s.legal_entity, s.time_zone, s.day_cutoff, s.status, s.closed_through,
            policies_v1(p_merchant, s.store_id))::store_row_v3
          from store s where s.merchant_id = p_merchant and s.store_id = any (p_stores)),
    array(select row(v.template_id, w.version, v.version, v.rules::text)::template_row_v1
          from unnest(p_templates, p_versions) w (template_id, version)
          join template_version v on v.merchant_id = p_merchant and v.template_id = w.template_id
            and v.version = case when w.version > 0 then w.version else (
              select max(x.version) from template_version x
              where x.merchant_id = p_merchant and x.template_id = w.template_id) end)
    into merchant_id, mode, status, currency, time_zone, epoch, test_now, clock, credentials, sessions, stores,
      templates
    from merchant m where m.merchant_id = p_merchant;
end
$function$;
grant execute on routine terms_v5(text,bytea[],text[],text[],integer[]) to kafang_app;

CREATE OR REPLACE FUNCTION public.unsequenced_merchants_v1(p_all boolean, OUT merchants text[], OUT since timestamp with time zone)
 RETURNS record
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
  select array(
      select u.merchant_id from unsequenced u
      union
      select m.merchant_id from merchant m
      where p_all and not exists (select from chain_head h where h.merchant_id = m.merchant_id)
      order by 1),
    (select min(u.posted_at) from unsequenced u)
$function$;
grant execute on routine unsequenced_merchants_v1(boolean) to kafang_app;
