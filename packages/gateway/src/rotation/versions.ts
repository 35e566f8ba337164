import { type AccountVersion, type ItemUid, PamError, type UserSecrets } from '@sallyport/protocol';
import type { Credential } from '@sallyport/rotation';
import { type LogState, openPart, type Place } from '@sallyport/seal';
import { credentialOf } from './credential.ts';
import { readSecrets } from './open-items.ts';

/** The secrets of an account's versions: opened when first needed, in memory only while the job runs. */
export interface Versions {
  add(n: number, secrets: UserSecrets): void;
  secrets(n: number): Promise<UserSecrets>;
  credential(n: number): Promise<Credential>;
  opens(n: number): Promise<boolean>;
  /**
   * Those that a run may try. What came back from a journal is left out unless it opens for this record with the order it
   * was written under: neither a router nor an instance can have one tried that it made up.
   */
  believed(): Promise<readonly { readonly n: number; readonly state: AccountVersion['state'] }[]>;
}

export function createVersions(
  known: readonly AccountVersion[],
  record: { readonly app: Place['app']; readonly uid: ItemUid; readonly changes: Credential['kind'] },
  deps: { readonly log: () => LogState; readonly secretsKey: (gen: number) => Promise<Uint8Array> },
): Versions {
  const opened = new Map<number, UserSecrets>();
  async function secrets(n: number): Promise<UserSecrets> {
    const before = opened.get(n);
    if (before !== undefined) return before;
    const version = known.find((one) => one.n === n);
    if (version === undefined) throw new PamError('PAM_INTERNAL', `version ${n} of the account was not told`);
    const { app, uid } = record;
    const place = { app, uid, type: 'pamUser', part: 'secrets', gen: version.gen, rev: version.rev } as const;
    const { body } = await openPart(version.envelope, place, await deps.secretsKey(version.gen), deps.log());
    const read = readSecrets(uid, body);
    opened.set(n, read);
    return read;
  }
  async function credential(n: number): Promise<Credential> {
    const found = credentialOf(await secrets(n), record.changes);
    if (found !== null) return found;
    throw new PamError('PAM_INTERNAL', `version ${n} of the account holds no ${record.changes}`);
  }

  const opens = (n: number): Promise<boolean> =>
    credential(n).then(
      () => true,
      () => false,
    );
  return {
    believed: async () => {
      const isBelieved = await Promise.all(
        known.map(async ({ n, state }) => state !== 'recovered' || (await opens(n))),
      );
      return known.filter((_, i) => isBelieved[i]).map(({ n, state }) => ({ n, state }));
    },
    add: (n, given) => void opened.set(n, given),
    secrets,
    credential,
    opens,
  };
}

/** What the account's record held before `n` was promoted; null: nothing that is known. */
export function versionBefore(known: readonly Pick<AccountVersion, 'n' | 'state'>[], n: number): number | null {
  const before = known.filter((one) => one.n < n && (one.state === 'adopted' || one.state === 'promoted'));
  return before.reduce<number | null>((newest, one) => Math.max(newest ?? 0, one.n), null);
}
