import * as opaque from '@serenity-kit/opaque';
import { toBase64url } from '@sallyport/protocol';
import { honestInstallation } from '@sallyport/testkit';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { flipCharacter, refusedWith, throwsOnlyPamError } from '../../test/refusals.ts';
import { hkdf, newSymmetricKey } from '../keys/symmetric.ts';
import { exportPrivate, newSigningKey } from '../keys/ec-key.ts';
import { openPart } from '../envelope/part.ts';
import { unwrapKey } from '../envelope/wrap.ts';
import { openUnder } from '../jose/sealed.ts';
import { openAtRest, sealAtRest } from './at-rest.ts';
import { finishRegistration, finishSignIn, startRegistration, startSignIn } from './opaque-client.ts';
import { newAccountSecret, newRecoveryCode, parseAccountSecret, parseRecoveryCode } from './paper-secrets.ts';
import {
  openPersonBlob,
  openRecoveryBlob,
  type PersonBlob,
  recoveryLookup,
  sealPersonBlob,
  sealRecoveryBlob,
} from './person-blob.ts';
import { signRecoveryProof, verifyRecoveryProof } from './recovery-proof.ts';

const honest = await honestInstallation(1_800_000_000);
const blob: PersonBlob = {
  v: 1,
  personUid: honest.person.uid,
  name: 'anna',
  signKey: await exportPrivate(honest.person.signKey),
  boxKey: await exportPrivate(honest.person.boxKey),
  anchor: honest.anchor,
  floor: honest.log.head,
};
const password = 'a right password';
const accountSecret = await newAccountSecret();
const recoveryCode = await newRecoveryCode();

/** All that a router has: set-up, registration, the sealed blobs. */
interface RouterState {
  readonly serverSetup: string;
  readonly registrationRecord: string;
  readonly personBlob: string;
  readonly recoveryBlob: string;
}
let router: RouterState;
let exportKey: string;
const userIdentifier = 'credential-1';

beforeAll(async () => {
  await opaque.ready;
  const serverSetup = opaque.server.createSetup();
  const { registrationRequest, clientState } = await startRegistration(password);
  const answer = opaque.server.createRegistrationResponse({ serverSetup, userIdentifier, registrationRequest });
  const done = await finishRegistration({ password, clientState, registrationResponse: answer.registrationResponse });
  exportKey = done.exportKey;
  router = {
    serverSetup,
    registrationRecord: done.registrationRecord,
    personBlob: await sealPersonBlob(blob, exportKey, accountSecret),
    recoveryBlob: await sealRecoveryBlob(blob, recoveryCode),
  };
});

async function signIn(guess: string) {
  const { startLoginRequest, clientState } = await startSignIn(guess);
  const { serverSetup, registrationRecord } = router;
  const started = opaque.server.startLogin({ serverSetup, userIdentifier, registrationRecord, startLoginRequest });
  const done = await finishSignIn({ password: guess, clientState, loginResponse: started.loginResponse });
  const { sessionKey } = opaque.server.finishLogin({
    serverLoginState: started.serverLoginState,
    finishLoginRequest: done.finishLoginRequest,
  });
  expect(sessionKey).toBe(done.sessionKey);
  return done;
}

test('a sign-in gives the export key of the registration, which with the account secret opens the keys', async () => {
  const done = await signIn(password);
  expect(done.exportKey).toBe(exportKey);
  expect(await openPersonBlob(router.personBlob, done.exportKey, accountSecret)).toEqual(blob);
  expect(
    await openPersonBlob(router.personBlob, done.exportKey, accountSecret.toLowerCase().replaceAll('-', ' ')),
  ).toEqual(blob);
});

test('a wrong password, an unknown name and a false answer are refused alike', async () => {
  expect(await refusedWith(() => signIn('a wrong password'))).toBe('PAM_SIGN_IN_FAILED password');
  const { startLoginRequest, clientState } = await startSignIn(password);
  const { serverSetup } = router;
  const unknown = opaque.server.startLogin({
    serverSetup,
    userIdentifier: 'nobody',
    registrationRecord: undefined,
    startLoginRequest,
  });
  const finish = (loginResponse: string) => refusedWith(() => finishSignIn({ password, clientState, loginResponse }));
  expect(await finish(unknown.loginResponse)).toBe('PAM_SIGN_IN_FAILED password');
  expect(await finish('AAAA')).toBe('PAM_SIGN_IN_FAILED answer');
  const registration = await startRegistration(password);
  expect(
    await refusedWith(() =>
      finishRegistration({ password, clientState: registration.clientState, registrationResponse: 'AAAA' }),
    ),
  ).toBe('PAM_BAD_REQUEST');
});

test('[C1] the router database, its OPAQUE set-up and the right password, but no account secret, open nothing', async () => {
  const stolen = await signIn(password);
  expect(stolen.exportKey).toBe(exportKey);
  const keysAtHand = [
    Buffer.from(stolen.exportKey, 'base64url').subarray(0, 32),
    Buffer.from(stolen.exportKey, 'base64url').subarray(32, 64),
    await hkdf(Buffer.from(stolen.exportKey, 'base64url'), new Uint8Array(), 'sallyport-person'),
    await hkdf(Buffer.from(stolen.exportKey, 'base64url'), new Uint8Array(16), 'sallyport-person'),
    await hkdf(Buffer.from(stolen.sessionKey, 'base64url'), new Uint8Array(), 'sallyport-person'),
  ];
  const rules = { typ: 'sallyport-person+jwe', maxChars: 8_192, code: 'PAM_SEAL_BROKEN', what: 'x' } as const;
  const envelopes = [
    router.personBlob,
    router.recoveryBlob,
    honest.machine.parts.facts?.envelope,
    honest.user.parts.secrets?.envelope,
  ];
  for (const key of keysAtHand) {
    for (const envelope of envelopes) {
      expect(await refusedWith(() => openUnder(new Uint8Array(key), envelope ?? '', rules))).toBe(
        'PAM_SEAL_BROKEN key',
      );
    }
  }
  expect(
    await refusedWith(async () => openPersonBlob(router.personBlob, stolen.exportKey, await newAccountSecret())),
  ).toBe('PAM_ACCOUNT_SECRET_WRONG key');
  const place = { app: honest.app, part: 'facts', gen: 1 } as const;
  const { newBoxKey } = await import('../keys/ec-key.ts');
  const own = await newBoxKey();
  expect(await refusedWith(() => unwrapKey(honest.wraps[0]?.wrap ?? '', place, own, honest.log))).toBe(
    'PAM_WRAP_INVALID place',
  );
  const { machine } = honest;
  const there = { app: machine.app, uid: machine.uid, type: machine.type, part: 'facts', gen: 1, rev: 2 } as const;
  expect(
    await refusedWith(() => openPart(machine.parts.facts?.envelope ?? '', there, newSymmetricKey(), honest.log)),
  ).toBe('PAM_SEAL_BROKEN key');
  const kept = JSON.stringify([
    router,
    honest.entries,
    honest.machine,
    honest.user,
    honest.configuration,
    honest.wraps,
  ]);
  for (const secret of [blob.signKey.d, blob.boxKey.d, 'web1', '10.0.0.5', 'correct horse', accountSecret]) {
    expect(kept).not.toContain(secret);
  }
});

test('[C1] the account secret alone, without the password, opens nothing', async () => {
  const guess = toBase64url(new Uint8Array(64));
  expect(await refusedWith(() => openPersonBlob(router.personBlob, guess, accountSecret))).toBe(
    'PAM_ACCOUNT_SECRET_WRONG key',
  );
});

test('a recovery code opens its own blob, under a name that tells nothing', async () => {
  expect(await openRecoveryBlob(router.recoveryBlob, recoveryCode)).toEqual(blob);
  expect(await recoveryLookup(recoveryCode)).toMatch(/^[\w-]{43}$/);
  const other = await newRecoveryCode();
  expect(await refusedWith(() => openRecoveryBlob(router.recoveryBlob, other))).toBe('PAM_RECOVERY_FAILED key');
  expect(await refusedWith(() => openRecoveryBlob(router.personBlob, recoveryCode))).toBe('PAM_RECOVERY_FAILED header');
  expect(await refusedWith(() => openRecoveryBlob(flipCharacter(router.recoveryBlob, 3), recoveryCode))).toBe(
    'PAM_RECOVERY_FAILED key',
  );
});

test('a recovery proof is the person signing exactly this change', async () => {
  const claims = { lookup: await recoveryLookup(recoveryCode), digest: 'd'.repeat(43) };
  const jws = await signRecoveryProof(claims, honest.person.signKey);
  const verify = (text: string, want = claims, key = honest.person.signKey.publicJwk) =>
    refusedWith(() => verifyRecoveryProof(text, key, want));
  expect(await verify(jws)).toBe('accepted');
  expect(await verify(jws, { ...claims, digest: 'e'.repeat(43) })).toBe('PAM_RECOVERY_FAILED digest');
  expect(await verify(jws, { ...claims, lookup: 'e'.repeat(43) })).toBe('PAM_RECOVERY_FAILED lookup');
  expect(await verify(await signRecoveryProof(claims, await newSigningKey()))).toBe('PAM_RECOVERY_FAILED signer');
  expect(await verify(flipCharacter(jws, 2))).toBe('PAM_RECOVERY_FAILED signature');
});

test('paper secrets are read as people type them, and each single mistake is noticed', async () => {
  expect(accountSecret).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}$/);
  expect(recoveryCode).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){8}[0-9A-HJKMNP-TV-Z]{4}$/);
  const typed = accountSecret.toLowerCase().replaceAll('-', '').replaceAll('0', 'o').replaceAll('1', 'l');
  expect(await parseAccountSecret(` ${typed} `)).toBe(accountSecret);
  expect(await parseRecoveryCode(recoveryCode.replaceAll('-', '  '))).toBe(recoveryCode);
  let unnoticed = 0;
  for (let at = 0; at < accountSecret.length; at++) {
    if (accountSecret[at] === '-') continue;
    const wrong = accountSecret.slice(0, at) + (accountSecret[at] === '7' ? '8' : '7') + accountSecret.slice(at + 1);
    const end = await refusedWith(() => parseAccountSecret(wrong));
    if (end !== 'PAM_ACCOUNT_SECRET_WRONG mistyped') unnoticed++;
  }
  expect(unnoticed).toBe(0);
  expect(await refusedWith(() => parseAccountSecret(accountSecret.slice(0, -1)))).toBe(
    'PAM_ACCOUNT_SECRET_WRONG length',
  );
  expect(await refusedWith(() => parseAccountSecret(`${accountSecret.slice(0, -1)}U`))).toBe(
    'PAM_ACCOUNT_SECRET_WRONG symbol',
  );
  expect(await refusedWith(() => parseRecoveryCode('x'.repeat(300)))).toBe('PAM_RECOVERY_FAILED length');
});

test('what rests on a device opens with its secret, for its purpose', async () => {
  const secret = newSymmetricKey();
  const jwe = await sealAtRest('sign-in', { ...blob }, secret);
  expect(await openAtRest('sign-in', jwe, secret)).toEqual(blob);
  expect(await refusedWith(() => openAtRest('other', jwe, secret))).toBe('PAM_SEAL_BROKEN header');
  expect(await refusedWith(() => openAtRest('sign-in', jwe, newSymmetricKey()))).toBe('PAM_SEAL_BROKEN key');
});

test('garbage in blobs and codes never throws anything but PamError', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 80 }), async (text) => {
      const acts = [
        () => openPersonBlob(text, exportKey, accountSecret),
        () => openRecoveryBlob(text, recoveryCode),
        () => parseAccountSecret(text),
        () => parseRecoveryCode(text),
        () => openAtRest('x', text, new Uint8Array(32)),
      ];
      return (await Promise.all(acts.map(throwsOnlyPamError))).every(Boolean);
    }),
    { numRuns: 100 },
  );
});
