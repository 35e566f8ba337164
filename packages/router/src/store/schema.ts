/**
 * The tables, as kysely sees them. Times are integer Unix milliseconds (`_ms`), ids text, JSON text that is checked by
 * zod when it is read. Nothing here is a title, host name of a target, login or secret: those are inside envelopes.
 */
export interface Database {
  setting: { key: string; value: string };
  migration: { n: number; name: string; at_ms: number };
  idempotency: { key: string; result: string; at_ms: number };
  log_entry: { n: number; hash: string; entry: string; at_ms: number };
  person: {
    uid: string;
    name: string;
    name_key: string;
    credential_id: string;
    registration_record: string;
    ksf: number;
    blob: string;
    recovery_lookup: string;
    recovery_blob: string;
  };
  sign_in: { token_hash: string; person: string; device: string; created_ms: number; expires_ms: number };
  opaque_attempt: { id: string; person: string | null; server_state: string; expires_ms: number };
  item: {
    uid: string;
    app: string;
    type: string;
    mirror: string;
    created_ms: number;
    modified_ms: number;
    removed_ms: number | null;
  };
  item_part: {
    uid: string;
    part: string;
    rev: number;
    gen: number;
    envelope: string;
    author: string;
    at_ms: number;
    newest: number;
  };
  item_link: { item: string; target: string };
  key_wrap: { app: string; part: string; gen: number; recipient: string; wrap: string };
  gateway: {
    uid: string;
    app: string;
    max_instances: number;
    version: number;
    next_seq: number;
    next_epoch: number;
    ever_connected: number;
    created_ms: number;
    modified_ms: number;
    removed_ms: number | null;
  };
  instance: {
    gateway: string;
    id: string;
    membership: string;
    gone_reason: string | null;
    seq: number;
    epoch: number;
    hellos: number;
    intent: string;
    host: string;
    version: string;
    address: string;
    connected_ms: number;
    since_ms: number;
  };
  token: {
    lookup: string;
    gateway: string;
    blob: string | null;
    expires_ms: number;
    redeemer: string | null;
    acknowledged_ms: number | null;
  };
  session: {
    id: string;
    person: string;
    device: string;
    gateway: string;
    resource: string;
    workload: string;
    started_ms: number;
    touched_ms: number;
    ended_ms: number | null;
    reason: string | null;
    words: string;
  };
  stream: {
    id: string;
    session: string;
    instance: string | null;
    state: string;
    started_ms: number;
    routed_ms: number;
    opened_ms: number | null;
    ended_ms: number | null;
    reason: string | null;
    words: string;
    bytes_up: number;
    bytes_down: number;
    decisions: number;
    detached_ms: number | null;
    detached_until_ms: number | null;
  };
  stream_decision: { stream: string; n: number; decision: string };
  audit_chain: { router: string; start: number; seq: number; hash: string; at_ms: number };
  audit_event: {
    router: string;
    start: number;
    seq: number;
    prev: string;
    hash: string;
    at_ms: number;
    kind: string;
    body: string;
    actor_event: string | null;
  };
  actor_chain: { actor: string; seq: number; hash: string };
  work_lease: { instance: string; gateway: string; lease: number; renewals: number; state: string };
  account: {
    account: string;
    record: string;
    server: string;
    epoch: number;
    send: number;
    current: number | null;
    job: string | null;
    next_version: number;
    attention: string | null;
    leftover: number | null;
    retire_tries: number | null;
    changed_ms: number;
  };
  account_version: {
    account: string;
    n: number;
    job: string | null;
    rev: number;
    gen: number;
    envelope: string;
    state: string;
    at_ms: number;
    source: string | null;
  };
  account_login: { account: string; id: string; at_ms: number; state: string };
  job_server: { server: string; claims: number };
  job: {
    id: string;
    kind: string;
    record: string;
    app: string;
    gateway: string;
    account: string | null;
    server: string | null;
    state: string;
    step: string;
    why: string;
    signed_order: string | null;
    person: string | null;
    due_ms: number | null;
    instance: string | null;
    lease: number | null;
    epoch: number | null;
    attempts: number;
    base: number | null;
    candidate: number | null;
    rejections: number;
    sends: string;
    address: string | null;
    not_before_ms: number;
    cancel_asked: number;
    after_counts: string | null;
    follow_ups: string;
    instances: string;
    created_ms: number;
    started_ms: number | null;
    ended_ms: number | null;
  };
  job_entry: { job: string; n: number; at_ms: number; instance: string | null; step: string; what: string };
  job_note: { job: string; n: number; gen: number; envelope: string };
  job_answer: { job: string; epoch: number; key: string; answer: string };
  schedule: { record: string; rule: string; since_ms: number; next_ms: number | null };
  rotation_trouble: { record: string; gateway: string | null; what: string; at_ms: number };
  recheck: { id: string; job: string; account: string; due_ms: number; kind: string | null };
}
