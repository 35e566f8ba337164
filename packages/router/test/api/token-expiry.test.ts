import { createLog, newSigningKey } from '@sallyport/seal';
import { createCleanup, tempDir } from '@sallyport/testkit';
import { afterAll, expect, test } from 'vitest';
import type { DeviceId } from '@sallyport/protocol';
import { authenticate } from '../../src/http/authenticate.ts';
import { createReplayCache, newSignIn } from '../../src/identity/index.ts';
import { openStore } from '../../src/store/index.ts';
import { systemClock } from '../../src/system-clock.ts';
import { person, personUid } from '../store/samples.ts';
import { dpopHeaders } from '../support/api-client.ts';

const cleanup = createCleanup();
afterAll(() => cleanup.run());
const signedInAtMs = Date.UTC(2026, 5, 1, 9);
const minuteMs = 60_000;

/** Signs a device in at `signedInAtMs` for `lifeMinutes`; answers what a request at a later time is told. */
async function signIn(lifeMinutes: number) {
  const clock = systemClock();
  const store = await openStore(
    { dataDir: tempDir(cleanup.later) },
    { nowMs: () => signedInAtMs, onFatal: () => undefined, onTrouble: () => undefined },
  );
  cleanup.later(() => store.close());
  const key = await newSigningKey();
  await store.identity.writeSetting({ key: 'setup-secret', value: 's' });
  await store.identity.writeSetting({ key: 'setup-expires-at-ms', value: String(signedInAtMs + 1) });
  await store.identity.claimRouter({ secretHash: 's', person: person(), nowMs: signedInAtMs });
  const made = newSignIn({ person: personUid('anna'), device: key.id as DeviceId, lifeMinutes, nowMs: signedInAtMs });
  await store.identity.addSignIn({ signIn: made.signIn });
  let nowMs = signedInAtMs;
  const deps = {
    identity: store.identity,
    trust: { state: () => createLog('') },
    clock: { ...clock, nowMs: () => nowMs },
    seen: createReplayCache(minuteMs, 100, clock.monotonicMs),
    seenPublic: createReplayCache(minuteMs, 100, clock.monotonicMs),
  };
  return async (afterMs: number): Promise<string> => {
    nowMs = signedInAtMs + afterMs;
    const what = { method: 'GET', path: '/v1/me', nowSeconds: Math.floor(nowMs / 1_000) };
    const headers = await dpopHeaders(what, key, made.accessToken);
    return authenticate(deps, { ...what, headers }).then(
      (caller) => `until ${caller.expiresAtMs - signedInAtMs}`,
      (error: { code: string }) => error.code,
    );
  };
}

test('an access token is good to the last millisecond of the life that was asked for, and not one longer', async () => {
  const at = await signIn(5);
  expect(await at(0)).toBe(`until ${5 * minuteMs}`);
  expect(await at(5 * minuteMs - 1)).toBe(`until ${5 * minuteMs}`);
  expect(await at(5 * minuteMs)).toBe('PAM_NOT_SIGNED_IN');
  expect(await at(500 * minuteMs)).toBe('PAM_NOT_SIGNED_IN');
});

test('nobody is signed in for longer than twelve hours, whatever was asked for', async () => {
  const at = await signIn(100_000);
  expect(await at(720 * minuteMs - 1)).toBe(`until ${720 * minuteMs}`);
  expect(await at(720 * minuteMs)).toBe('PAM_NOT_SIGNED_IN');
});
