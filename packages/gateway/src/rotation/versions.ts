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
  return {
    add: (n, given) => void opened.set(n, given),
    secrets,
    credential: async (n) => {
      const found = credentialOf(await secrets(n), record.changes);
      if (found !== null) return found;
      throw new PamError('PAM_INTERNAL', `version ${n} of the account holds no ${record.changes}`);
    },
  };
}
