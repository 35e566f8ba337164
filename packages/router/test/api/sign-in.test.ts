import type { DeviceId, WireError } from '@sallyport/protocol';
import {
  digestOf,
  exportPrivate,
  finishRegistration,
  finishSignIn,
  newRecoveryCode,
  newSigningKey,
  openPersonBlob,
  openRecoveryBlob,
  recoveryLookup,
  sealPersonBlob,
  sealRecoveryBlob,
  signRecoveryProof,
  type SigningKey,
  startRegistration,
  startSignIn,
} from '@sallyport/seal';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiClient, dpopHeaders, errorOf } from '../support/api-client.ts';
import { claim, type Operator } from '../support/operator.ts';
import { freshRouter } from '../support/router.ts';

let router: Awaited<ReturnType<typeof freshRouter>>;
let client: ReturnType<typeof createApiClient>;
let anna: Operator;
beforeAll(async () => {
  router = await freshRouter();
  client = createApiClient(router.port);
  anna = await claim(router);
});
afterAll(() => {
  anna.close();
  client.close();
});

async function begin(name: string, password: string) {
  const { startLoginRequest, clientState } = await startSignIn(password);
  const begun = await client.ask({ method: 'POST', path: '/v1/sign-in/begin', body: { name, startLoginRequest } });
  return { begun, clientState };
}
interface SignedIn {
  readonly accessToken: string;
  readonly personBlob: string;
}
async function signIn(name: string, password: string, device: SigningKey, lifeMinutes = 720) {
  const { begun, clientState } = await begin(name, password);
  const { attempt, loginResponse } = begun.body as { attempt: string; loginResponse: string };
  const { finishLoginRequest, exportKey } = await finishSignIn({ password, clientState, loginResponse });
  const path = '/v1/sign-in/finish';
  const body = { attempt, finishLoginRequest, lifeMinutes };
  const send = async () =>
    client.ask({ method: 'POST', path, body, headers: await dpopHeaders({ method: 'POST', path }, device) });
  return { send, exportKey, body };
}

test('a second device signs in, opens the person keys, and is let in once its log entry is there', async () => {
  const device = await newSigningKey();
  const { send, exportKey } = await signIn('ANNA', anna.password, device);
  const answer = await send();
  expect(answer.status).toBe(200);
  const { accessToken, personBlob } = answer.body as SignedIn;
  const blob = await openPersonBlob(personBlob, exportKey, anna.accountSecret);
  expect(blob).toMatchObject({ personUid: anna.person, name: 'anna' });
  expect(errorOf(await send()).code).toBe('PAM_SIGN_IN_FAILED');

  const ask = async (method: string, path: string, body?: unknown) =>
    client.ask({ method, path, body, headers: await dpopHeaders({ method, path }, device, accessToken) });
  expect((await ask('GET', '/v1/me')).body).toMatchObject({ deviceInLog: false });
  expect(errorOf(await ask('GET', '/v1/items')).code).toBe('PAM_DEVICE_UNKNOWN');
  const foreign = await newSigningKey();
  const entryFor = (key: SigningKey) =>
    anna.entry(
      {
        kind: 'device',
        person: anna.person,
        device: { id: key.id as DeviceId, key: key.publicJwk, kind: 'cli', label: 'second' },
      },
      anna.personKey,
    );
  expect(errorOf(await ask('POST', '/v1/log', { entry: await entryFor(foreign) })).code).toBe(
    'PAM_TRUST_ENTRY_INVALID',
  );
  const entry = await entryFor(device);
  expect((await ask('POST', '/v1/log', { entry })).status).toBe(200);
  expect((await ask('POST', '/v1/log', { entry })).status).toBe(200); // asked again after a lost answer
  await anna.took(entry);
  expect((await ask('GET', '/v1/items')).status).toBe(200);

  const removal = await anna.entry({ kind: 'device-removed', device: device.id as DeviceId });
  await anna.must('POST', '/v1/log', { entry: removal });
  await anna.took(removal);
  expect(errorOf(await ask('GET', '/v1/me')).code).toBe('PAM_DEVICE_UNKNOWN');
});

test('a wrong password and an unknown name get answers of one form', async () => {
  const known = await begin('anna', 'wrong');
  const unknown = await begin('nobody', 'wrong');
  const shape = (body: unknown) => Object.entries(body as object).map(([key, value]) => [key, String(value).length]);
  expect(shape(unknown.begun.body)).toEqual(shape(known.begun.body));
  for (const { begun, clientState } of [known, unknown]) {
    const { loginResponse } = begun.body as { loginResponse: string };
    await expect(finishSignIn({ password: 'wrong', clientState, loginResponse })).rejects.toMatchObject({
      code: 'PAM_SIGN_IN_FAILED',
    });
  }
});

test('the finish of another attempt, rubbish, and a missing proof of the device do not sign in', async () => {
  const device = await newSigningKey();
  const one = await signIn('anna', anna.password, device);
  const other = await signIn('anna', anna.password, device);
  const path = '/v1/sign-in/finish';
  const send = async (body: unknown) =>
    client.ask({ method: 'POST', path, body, headers: await dpopHeaders({ method: 'POST', path }, device) });
  expect(errorOf(await client.ask({ method: 'POST', path, body: one.body })).code).toBe('PAM_PROOF_INVALID');
  expect(errorOf(await send({ ...one.body, finishLoginRequest: other.body.finishLoginRequest })).code).toBe(
    'PAM_SIGN_IN_FAILED',
  );
  expect(errorOf(await send({ ...other.body, finishLoginRequest: 'A'.repeat(86) })).code).toBe('PAM_SIGN_IN_FAILED');
  expect(errorOf(await send({ ...one.body, attempt: 'A'.repeat(22) })).code).toBe('PAM_SIGN_IN_FAILED');
});

test('signing out ends the sign-in at once', async () => {
  const { send } = await signIn('anna', anna.password, anna.device, 1);
  const { accessToken } = (await send()).body as SignedIn;
  const ask = async (method: string, path: string) =>
    client.ask({ method, path, headers: await dpopHeaders({ method, path }, anna.device, accessToken) });
  expect((await ask('GET', '/v1/me')).status).toBe(200);
  expect((await ask('POST', '/v1/sign-out')).status).toBe(200);
  expect(errorOf(await ask('GET', '/v1/me')).code).toBe('PAM_NOT_SIGNED_IN');
});

test('recovery sets a new password and code with the old code, once, and ends every sign-in', async () => {
  const password = 'a new password';
  const device = await newSigningKey();
  const lookup = await recoveryLookup(anna.recoveryCode);
  const { registrationRequest, clientState } = await startRegistration(password);
  const path = '/v1/recovery/finish';
  const begun = await client.ask({ method: 'POST', path: '/v1/recovery/begin', body: { lookup, registrationRequest } });
  const { blob, registrationResponse, head } = begun.body as {
    blob: string;
    registrationResponse: string;
    head: unknown;
  };
  expect(head).toEqual(anna.log().head);
  const opened = await openRecoveryBlob(blob, anna.recoveryCode);
  expect(await exportPrivate(anna.personKey)).toEqual(opened.signKey);
  const { registrationRecord, exportKey } = await finishRegistration({ password, clientState, registrationResponse });
  const code = await newRecoveryCode();
  const entry = await anna.entry(
    {
      kind: 'device',
      person: anna.person,
      device: { id: device.id as DeviceId, key: device.publicJwk, kind: 'cli', label: 'new' },
    },
    anna.personKey,
  );
  const rest = {
    lookup,
    registrationRecord,
    ksf: 1,
    personBlob: await sealPersonBlob(opened, exportKey, anna.accountSecret),
    recovery: { lookup: await recoveryLookup(code), blob: await sealRecoveryBlob(opened, code) },
    entry,
    lifeMinutes: 60,
  };
  const send = async (body: unknown) =>
    client.ask({ method: 'POST', path, body, headers: await dpopHeaders({ method: 'POST', path }, device) });
  const proof = await signRecoveryProof({ lookup, digest: await digestOf(rest) }, anna.personKey);
  expect((await send({ ...rest, lifeMinutes: 61, proof })).status).not.toBe(200);
  const foreign = await signRecoveryProof({ lookup, digest: await digestOf(rest) }, device);
  expect((await send({ ...rest, proof: foreign })).status).not.toBe(200);
  expect((await anna.call('GET', '/v1/me')).status).toBe(200);

  expect((await send({ ...rest, proof })).status).toBe(200);
  await anna.took(entry);
  expect(errorOf(await send({ ...rest, proof })).code).toBe('PAM_RECOVERY_FAILED');
  expect(errorOf(await anna.call('GET', '/v1/me')).code).toBe('PAM_NOT_SIGNED_IN');
  const { send: again } = await signIn('anna', password, device);
  expect((await again()).status).toBe(200);
});

test('sign-ins for one name are slowed down, with the time to wait', async () => {
  const refusals: WireError[] = [];
  for (let i = 0; i < 20 && refusals.length === 0; i++) {
    const { begun } = await begin('slow', 'x');
    if (begun.status !== 200) refusals.push(errorOf(begun));
  }
  expect(refusals[0]).toMatchObject({ code: 'PAM_RATE_LIMITED' });
  expect(refusals[0]?.detail['retryAfterMs']).toBeGreaterThan(0);
  expect((await begin('other', 'x')).begun.status).toBe(200);
});
