import type { ErrorCode } from '@sallyport/protocol';
import { newSigningKey, type SessionRequest, sealToBox } from '@sallyport/seal';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { configurationFacts, newItemUid, newSessionId, newStreamId, uid } from './lab/installation.ts';
import { type Dispatched, type Lab, roundTrip, startLab } from './lab/lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab();
});
afterAll(async () => {
  await lab.close();
});
afterEach(() => {
  expect(lab.target.accepted).toHaveLength(0);
});

function refusalOf({ result }: Dispatched): { class: string; code: string; why: unknown } | null {
  if (result.kind === 'accepted') return null;
  return { class: result.class, code: result.error.code, why: result.error.detail['why'] };
}
const now = (): number => Math.floor(Date.now() / 1_000);

type Flip = readonly [field: string, flip: (claims: SessionRequest) => SessionRequest, code: ErrorCode, why: string];
const flips: readonly Flip[] = [
  ['iss', (claims) => ({ ...claims, iss: 'A'.repeat(43) as SessionRequest['iss'] }), 'PAM_REQUEST_INVALID', 'issuer'],
  ['aud', (claims) => ({ ...claims, aud: `gateway:${uid()}` }), 'PAM_REQUEST_INVALID', 'audience'],
  ['exp', (claims) => ({ ...claims, exp: claims.exp + 1 }), 'PAM_REQUEST_INVALID', 'life'],
  [
    'iat in the past',
    (claims) => ({ ...claims, iat: now() - 600, exp: now() - 540 }),
    'PAM_REQUEST_INVALID',
    'expired',
  ],
  [
    'iat in the future',
    (claims) => ({ ...claims, iat: now() + 600, exp: now() + 660 }),
    'PAM_REQUEST_INVALID',
    'early',
  ],
  ['until', (claims) => ({ ...claims, until: claims.iat + 43_201 }), 'PAM_REQUEST_INVALID', 'until'],
  ['session', (claims) => ({ ...claims, session: newSessionId() }), 'PAM_REQUEST_INVALID', 'session'],
  ['stream', (claims) => ({ ...claims, stream: newStreamId() }), 'PAM_REQUEST_INVALID', 'stream'],
  ['resource', (claims) => ({ ...claims, resource: newItemUid() }), 'PAM_REQUEST_INVALID', 'revs'],
  [
    'revs of the resource',
    (claims) => ({ ...claims, revs: { ...claims.revs, [lab.resource.uid]: 2 } }),
    'PAM_SEAL_STALE',
    'rev',
  ],
  [
    'revs of the configuration',
    (claims) => ({ ...claims, revs: { ...claims.revs, [lab.configuration.uid]: 2 } }),
    'PAM_SEAL_STALE',
    'rev',
  ],
  [
    'revs without the configuration',
    (claims) => ({ ...claims, revs: { [claims.resource]: 1 } }),
    'PAM_REQUEST_INVALID',
    'revs',
  ],
  [
    'head, a fork',
    (claims) => ({ ...claims, head: { ...claims.head, hash: 'A'.repeat(43) } }),
    'PAM_TRUST_FORKED',
    'head',
  ],
  [
    'head, newer than the router shows',
    (claims) => ({ ...claims, head: { n: 99, hash: 'A'.repeat(43) } }),
    'PAM_TRUST_BEHIND',
    'head',
  ],
  ['sealed', (claims) => ({ ...claims, sealed: 'aaaa.bbbb.cccc.dddd.eeee' }), 'PAM_SEAL_BROKEN', 'header'],
];

test.each(flips)('a request with another %s is refused', async (_field, flip, code, why) => {
  const good = lab.claims();
  const claims = flip(good);
  const refusal = refusalOf(await lab.dispatch({ claims, session: good.session, stream: good.stream }));
  expect(refusal).toMatchObject({ class: 'denied', code });
  expect([why, 'form', 'payload', 'signer', 'floor', 'stale', 'items']).toContain(refusal?.why);
});

test('a request signed by a key that is not in the log is refused', async () => {
  const claims = lab.claims();
  const stranger = await newSigningKey();
  const request = await lab.installation.sign({ ...claims, iss: stranger.id as SessionRequest['iss'] }, stranger);
  expect(refusalOf(await lab.dispatch({ claims, request }))).toMatchObject({
    code: 'PAM_REQUEST_INVALID',
    why: 'signer',
  });
});

test('a request whose text was changed anywhere is refused', async () => {
  const claims = lab.claims();
  const request = await lab.installation.sign(claims);
  for (const at of [5, Math.floor(request.length / 2), request.length - 5]) {
    const flipped = request.slice(0, at) + (request[at] === 'A' ? 'B' : 'A') + request.slice(at + 1);
    expect(refusalOf(await lab.dispatch({ claims, request: flipped }))?.class).toBe('denied');
  }
});

test('a dispatch of another epoch is refused as old', async () => {
  expect(refusalOf(await lab.dispatch({ epoch: 2 }))).toMatchObject({
    class: 'old-epoch',
    code: 'PAM_DISPATCH_REFUSED',
  });
});

test('a dispatch without the record, or without its configuration, is refused', async () => {
  for (const items of [[], [lab.resource], [lab.configuration]]) {
    expect(refusalOf(await lab.dispatch({ items }))).toMatchObject({ code: 'PAM_REQUEST_INVALID', why: 'items' });
  }
});

test('a record sealed for another place is refused, whatever the router calls it', async () => {
  const other = await lab.installation.item('pamMachine', {
    title: 'x',
    host: '127.0.0.1',
    port: 1,
    configuration: lab.configuration.uid,
  });
  const swapped = { ...lab.resource, parts: other.parts };
  expect(refusalOf(await lab.dispatch({ items: [swapped, lab.configuration] }))?.code).toBe('PAM_SEAL_MISPLACED');
  const retyped = { ...lab.resource, type: 'pamDatabase' as const };
  expect(refusalOf(await lab.dispatch({ items: [retyped, lab.configuration] }))?.code).toBe('PAM_SEAL_MISPLACED');
});

test('facts sealed by somebody whom the log does not grant it are refused', async () => {
  const author = await newSigningKey();
  const forged = await lab.installation.item(
    'pamMachine',
    { title: 'x', host: '127.0.0.1', port: 1, configuration: lab.configuration.uid },
    { uid: lab.resource.uid, author },
  );
  expect(refusalOf(await lab.dispatch({ items: [forged, lab.configuration] }))?.code).toBe('PAM_SEAL_AUTHOR');
});

/** A resource and a configuration with these facts, and a request for them. */
async function dispatchOf(resourceOver: object, configurationOver: object, sealed?: object): Promise<Dispatched> {
  const { installation } = lab;
  const configuration = await installation.item(
    'pamNetworkConfiguration',
    configurationFacts(installation.gateway, configurationOver),
  );
  const facts = {
    title: 'r',
    host: '127.0.0.1',
    port: lab.target.port,
    configuration: configuration.uid,
    ...resourceOver,
  };
  const resource = await installation.item('pamMachine', facts);
  const options =
    sealed === undefined
      ? {}
      : { sealed: await sealToBox('stream-options', { ...sealed }, installation.box.publicJwk) };
  const claims = lab.claims({
    resource: resource.uid,
    revs: { [resource.uid]: 1, [configuration.uid]: 1 },
    ...options,
  });
  return lab.dispatch({ claims, items: [resource, configuration] });
}

test.each([
  ['off in the configuration', {}, { permissions: { tunneling: 'off' } }, 'PAM_PERMISSION_OFF'],
  ['off in the record', { permissions: { tunneling: 'off' } }, {}, 'PAM_PERMISSION_OFF'],
  ['a configuration of another gateway', {}, { gateway: uid() }, 'PAM_TARGET_NOT_ALLOWED'],
  ['a record of another configuration', { configuration: newItemUid() }, {}, 'PAM_TARGET_NOT_ALLOWED'],
  ['a record of no configuration', { configuration: null }, {}, 'PAM_TARGET_NOT_ALLOWED'],
  ['no network listed for a special address', {}, { networks: [] }, 'PAM_TARGET_NOT_ALLOWED'],
  ['a host in another notation', { host: '127.1' }, {}, 'PAM_TARGET_NOT_ALLOWED'],
  ['a metadata service', { host: '169.254.169.254' }, { networks: ['0.0.0.0/0'] }, 'PAM_TARGET_NOT_ALLOWED'],
])('%s is refused before any leg', async (_name, resourceOver, configurationOver, code) => {
  const legs = lab.router.legs.length;
  expect(refusalOf(await dispatchOf(resourceOver, configurationOver))).toMatchObject({ class: 'denied', code });
  expect(lab.router.legs).toHaveLength(legs);
});

test('the router itself is never a target, whatever the networks list', async () => {
  expect(refusalOf(await dispatchOf({ port: lab.router.port }, {}))).toMatchObject({
    code: 'PAM_TARGET_NOT_ALLOWED',
    why: 'router',
  });
});

test('a supplied host is refused unless the record allows it', async () => {
  const refusal = refusalOf(await dispatchOf({}, {}, { host: '127.0.0.2' }));
  expect(refusal).toMatchObject({ code: 'PAM_TARGET_NOT_ALLOWED', why: 'supplied-host' });
});

test('a supplied host outside the networks is refused, even a public one', async () => {
  const refusal = refusalOf(await dispatchOf({ allowSupplyHost: true }, {}, { host: '8.8.8.8' }));
  expect(refusal).toMatchObject({ code: 'PAM_TARGET_NOT_ALLOWED', why: 'outside' });
});

test('options sealed for another purpose, or malformed, are refused', async () => {
  const { installation } = lab;
  for (const sealed of [
    await sealToBox('another-purpose', { host: '127.0.0.1' }, installation.box.publicJwk),
    await sealToBox('stream-options', { host: '127.0.0.1', extra: 1 }, installation.box.publicJwk),
  ])
    expect(refusalOf(await lab.dispatch({ claims: lab.claims({ sealed }) }))?.class).toBe('denied');
});

test('an older revision than one opened here before is refused', async () => {
  const { installation } = lab;
  const configuration = await installation.item('pamNetworkConfiguration', configurationFacts(installation.gateway));
  const facts = { title: 'r', host: '127.0.0.1', port: 1, configuration: configuration.uid };
  const old = await installation.item('pamMachine', { ...facts, permissions: { tunneling: 'on' } });
  const fresh = await installation.item(
    'pamMachine',
    { ...facts, permissions: { tunneling: 'off' } },
    { uid: old.uid, rev: 2 },
  );
  const claims = (): SessionRequest =>
    lab.claims({ resource: old.uid, revs: { [old.uid]: 1, [configuration.uid]: 1 } });
  expect(refusalOf(await lab.dispatch({ claims: claims(), items: [fresh, configuration] }))?.code).toBe(
    'PAM_PERMISSION_OFF',
  );
  expect(refusalOf(await lab.dispatch({ claims: claims(), items: [old, configuration] }))?.code).toBe('PAM_SEAL_STALE');
});

test('a record that switches on what its configuration switches off is refused', async () => {
  const own = await startLab({
    facts: { permissions: { tunneling: 'on' } },
    configurationOver: { permissions: { tunneling: 'off' } },
  });
  try {
    expect(refusalOf(await own.dispatch())).toMatchObject({ class: 'denied', code: 'PAM_PERMISSION_OFF' });
  } finally {
    await own.close();
  }
});

test('a supplied host inside the networks leads where it says', async () => {
  const own = await startLab({ facts: { allowSupplyHost: true, host: '127.0.0.9' } });
  try {
    const sealed = await sealToBox('stream-options', { host: '127.0.0.1' }, own.installation.box.publicJwk);
    const dispatched = await own.dispatch({ claims: own.claims({ sealed }) });
    expect(await roundTrip(await own.open(dispatched), 'there')).toBe('there');
  } finally {
    await own.close();
  }
});

test('an instance that runs its maximum of streams says full, and a standby says it holds no slot', async () => {
  const small = await startLab({ maxStreams: 1 });
  try {
    const first = await small.dispatch();
    expect(refusalOf(await small.dispatch())).toMatchObject({ class: 'full' });
    expect(await roundTrip(await small.open(first), 'x')).toBe('x');
    await small.link.call(
      'link.membership',
      { membership: { kind: 'standby', position: 0, reason: 'displaced' } },
      { timeoutMs: 60_000 },
    );
    expect(refusalOf(await small.dispatch())).toMatchObject({ class: 'old-epoch' });
  } finally {
    await small.close();
  }
});
