import {
  type ApplicationUid,
  applicationUidSchema,
  createApplication,
  type KeyWrap,
  PamError,
} from '@sallyport/protocol';
import { commitKeys, newSymmetricKey, thumbprint, wrapKey } from '@sallyport/seal';
import { type Clock, nowSeconds } from '../time/clock.ts';
import type { VaultSession } from './open-session.ts';
import { freshUid } from './vault.ts';

/**
 * Makes an application: its three keys, committed to in the trust log and wrapped for the person and for the off-line
 * recovery key, and its sealed title. PAM_CONFLICT when one of this title exists.
 */
export async function makeApplication(session: VaultSession, clock: Clock, title: string): Promise<ApplicationUid> {
  const { vault, log, device, person, chain } = session;
  const same = (await vault.applications()).find((application) => application.title === title);
  if (same !== undefined) throw new PamError('PAM_CONFLICT', `an application “${title}” exists already (${same.uid})`);
  const uid = freshUid();
  const app = applicationUidSchema.parse(uid);
  const gen = 1;
  const keys = { facts: newSymmetricKey(), secrets: newSymmetricKey(), recordings: newSymmetricKey() };
  const recoveryKey = log.state().recoveryKey;
  if (recoveryKey === null) throw new PamError('PAM_TRUST_ENTRY_INVALID', 'the trust log names no recovery key');
  const wraps: KeyWrap[] = [];
  for (const part of ['facts', 'secrets', 'recordings'] as const) {
    for (const recipient of [person.boxKey.publicJwk, recoveryKey]) {
      const wrap = await wrapKey({ app, part, gen }, keys[part], recipient, device.key, nowSeconds(clock));
      wraps.push({ app, part, gen, recipient: await thumbprint(recipient), wrap });
    }
  }
  const item = await vault.sealNew({ uid, app, type: 'application', facts: { title } }, { facts: keys.facts, gen });
  const commitments = await commitKeys(app, gen, keys);
  await log.append(
    [
      { kind: 'application', app },
      { kind: 'generation', app, gen, commitments },
    ],
    device.key,
    async (entries) => chain.call(createApplication, { body: { entries: [...entries], item, wraps } }, [uid]),
  );
  return app;
}
