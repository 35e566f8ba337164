import { PamError } from '@sallyport/protocol';
import { openStatement, signStatement } from '../jose/statement.ts';
import type { SigningKey } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';
import { entryHash, entryMaxChars, entrySchema, type LogEntryBody, readEntry } from './entry.ts';
import { ruleOn } from './rules.ts';
import { closeDraft, knownKeys, type LogDraft, type LogState, openDraft } from './state.ts';

/**
 * Signs the entry that follows `state.head`. Whether the signer may is for those who fold it; fold it yourself before
 * you send it.
 *
 * @param nowSeconds - Unix seconds, the signer's clock.
 * @throws PAM_BAD_REQUEST when the body is malformed.
 */
export async function signEntry(
  state: LogState,
  body: LogEntryBody,
  signer: SigningKey,
  nowSeconds: number,
): Promise<string> {
  const { n, hash } = state.head;
  const entry = entrySchema.safeParse({ ...body, v: 1, n: n + 1, prev: hash, at: nowSeconds });
  if (!entry.success) {
    throw new PamError('PAM_BAD_REQUEST', `This is not a ${body.kind} entry of the trust log.`, { cause: entry.error });
  }
  return signStatement('sallyport-log+jws', entry.data, signer);
}

/**
 * Verifies entries and adds them to what is known. Entries that are already known may come again.
 *
 * @param entries - compact texts in order, at most 10,000,000 in all.
 * @returns a new state; `state` is never changed.
 * @throws PAM_TRUST_ANCHOR (the first entry is another one), PAM_TRUST_FORKED (another entry at a number known here, or
 * one that does not follow the last), PAM_TRUST_ENTRY_INVALID (malformed, missing, wrongly signed, not allowed).
 */
export async function foldLog(state: LogState, entries: readonly string[]): Promise<LogState> {
  const draft = openDraft(state, knownKeys(state));
  for (const entry of entries) await foldEntry(draft, entry);
  return closeDraft(draft);
}

async function foldEntry(draft: LogDraft, entry: string): Promise<void> {
  const next = draft.hashes.length;
  if (entry.length > entryMaxChars) {
    const message = `An entry of the trust log is longer than ${entryMaxChars} characters.`;
    throw refusal('PAM_TRUST_ENTRY_INVALID', 'size', message);
  }
  const hash = await entryHash(entry);
  if (next === 0 && hash !== draft.anchor) {
    throw refusal('PAM_TRUST_ANCHOR', 'anchor', 'The trust log does not begin with the entry this machine trusts.');
  }
  const { payload } = readEntry(entry, `Entry ${next} of the trust log`);
  if (payload.n < next) {
    if (draft.hashes[payload.n] === hash) return;
    throw refusal('PAM_TRUST_FORKED', 'entry', `Entry ${payload.n} of the trust log is not the one seen before.`);
  }
  if (payload.n > next) {
    const message = `Entry ${next} of the trust log is missing; entry ${payload.n} came instead.`;
    throw refusal('PAM_TRUST_ENTRY_INVALID', 'missing', message);
  }
  if (payload.prev !== (draft.hashes[next - 1] ?? '')) {
    throw refusal('PAM_TRUST_FORKED', 'prev', `Entry ${next} of the trust log does not follow the one before it.`);
  }
  let apply: ((draft: LogDraft) => void) | undefined;
  await openStatement(entry, {
    typ: 'sallyport-log+jws',
    maxChars: entryMaxChars,
    schema: entrySchema,
    code: 'PAM_TRUST_ENTRY_INVALID',
    what: `Entry ${next} of the trust log`,
    keyOf: async (kid, verified) => {
      const ruling = await ruleOn(draft, verified, kid);
      apply = ruling.apply;
      return ruling.signer;
    },
  });
  apply?.(draft);
  draft.hashes.push(hash);
}
