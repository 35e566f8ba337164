import { type ErrorCode, type Item, itemUidSchema, personUidSchema } from '@sallyport/protocol';
import {
  createLog,
  checkFloor,
  foldLog,
  type LogEntryBody,
  newBoxKey,
  newSigningKey,
  newSymmetricKey,
  openPart,
  peekPlace,
  requestHash,
  signEntry,
  signRequest,
  unwrapKey,
  verifyRequest,
} from '../src/index.ts';
import * as lies from '@sallyport/testkit';
import { expect, test } from 'vitest';
import { refusedWith } from './refusals.ts';

const now = 1_800_000_000;
const honest = await lies.honestInstallation(now);
const { log, keys, device, pool, otherPool, machine, otherMachine, user, configuration, entries, anchor } = honest;
const own = await newSigningKey();
const ownBox = await newBoxKey();
const session = { cnf: await requestHash('a session key'), id: lies.freshUid(), stream: lies.freshUid() };

/** What an honest reader does with an item it was served, wanting that item and nothing else. */
const readFacts = (served: Item, wanted: Item, rev = wanted.parts.facts?.rev ?? 0) =>
  openPart(
    served.parts.facts?.envelope ?? '',
    { app: wanted.app, uid: wanted.uid, type: wanted.type, part: 'facts', gen: 1, rev: { atLeast: rev } },
    keys.facts,
    log,
  );
const readSecrets = (served: Item, wanted: Item) =>
  openPart(
    served.parts.secrets?.envelope ?? '',
    { app: wanted.app, uid: wanted.uid, type: wanted.type, part: 'secrets', gen: 1, rev: 1 },
    keys.secrets,
    log,
  );
const [factsWrap, secretsWrap] = honest.wraps;
if (factsWrap === undefined || secretsWrap === undefined) expect.unreachable('the installation has wraps');
const factsPlace = { app: honest.app, part: 'facts', gen: 1 } as const;

const claims = {
  iss: log.devices.keys().next().value as never,
  aud: `gateway:${pool.uid}`,
  jti: 'a'.repeat(22),
  iat: now,
  exp: now + 60,
  until: now + 3_600,
  session: session.id as never,
  stream: session.stream as never,
  resource: machine.uid,
  revs: { [machine.uid]: 2, [configuration.uid]: 1 },
  workload: 'tunnel' as const,
  head: log.head,
  cnf: session.cnf,
};
const request = await signRequest(claims, device);

/** Another history after entry 3, signed by the honest device that was shown a shorter log. */
const forkedTail = await (async () => {
  const before = await foldLog(createLog(anchor), entries.slice(0, 4));
  return [await signEntry(before, { kind: 'application', app: lies.freshUid() as never }, device, now)];
})();

const personForged: LogEntryBody = {
  kind: 'person',
  person: {
    uid: personUidSchema.parse(lies.freshUid()),
    name: 'mallory',
    signKey: own.publicJwk,
    boxKey: ownBox.publicJwk,
  },
  rights: ['people', 'records', 'connect'],
};

const moves: readonly (readonly [lie: string, end: `${ErrorCode} ${string}`, act: () => unknown])[] = [
  [
    'swaps the envelopes of two records',
    'PAM_SEAL_MISPLACED uid',
    () => readFacts(lies.swapEnvelopes(machine, otherMachine, 'facts')[0], machine),
  ],
  [
    'swaps them and writes the wanted place into the header',
    'PAM_SEAL_BROKEN key',
    () => readFacts(lies.relabel(machine, otherMachine.parts.facts as never, 'facts'), machine),
  ],
  [
    'serves an older revision',
    'PAM_SEAL_STALE rev',
    () => readFacts(lies.serveOlder(machine, honest.machineBefore, 'facts'), machine),
  ],
  [
    'serves an older revision under the newer number',
    'PAM_SEAL_STALE rev',
    () => readFacts(lies.serveOlderAsNewer(machine, honest.machineBefore, 'facts'), machine),
  ],
  [
    'replays a record under another UID',
    'PAM_SEAL_MISPLACED uid',
    () => {
      const replayed = lies.replayUnder(machine, itemUidSchema.parse(lies.freshUid()));
      return readFacts(replayed, replayed);
    },
  ],
  [
    'serves facts as secrets',
    'PAM_SEAL_MISPLACED part',
    () => readSecrets(lies.serveAsPart(user, 'facts', 'secrets'), user),
  ],
  [
    'serves a record as one of another type',
    'PAM_SEAL_MISPLACED type',
    () => readFacts(machine, { ...machine, type: 'pamDatabase' }),
  ],
  [
    'seals facts of its own under a key of its own',
    'PAM_SEAL_BROKEN key',
    async () =>
      readFacts(await lies.sealOwnPart(machine, 'facts', { host: 'evil' }, newSymmetricKey(), own, now), machine),
  ],
  [
    'has a stolen facts key and signs facts with a key of its own',
    'PAM_SEAL_AUTHOR signer',
    async () => readFacts(await lies.sealOwnPart(machine, 'facts', { host: 'evil' }, keys.facts, own, now), machine),
  ],
  [
    'has a pool key and signs facts with it',
    'PAM_SEAL_AUTHOR signer',
    async () =>
      readFacts(await lies.sealOwnPart(machine, 'facts', { host: 'evil' }, keys.facts, pool.signKey, now), machine),
  ],
  [
    'wraps a key of its own',
    'PAM_WRAP_INVALID signer',
    async () => {
      const { wrap } = await lies.wrapOwnKey(factsWrap, pool.boxKey.publicJwk, own, now);
      return unwrapKey(wrap.wrap, factsPlace, pool.boxKey, log);
    },
  ],
  [
    'wraps another key, granted by a device that is in the log',
    'PAM_WRAP_INVALID commitment',
    async () => {
      const { wrap } = await lies.wrapOwnKey(factsWrap, pool.boxKey.publicJwk, device, now);
      return unwrapKey(wrap.wrap, factsPlace, pool.boxKey, log);
    },
  ],
  [
    'serves the wrap of the secrets key as that of the facts key',
    'PAM_WRAP_INVALID place',
    () => unwrapKey(lies.serveWrapAs(secretsWrap, factsWrap).wrap, factsPlace, pool.boxKey, log),
  ],
  [
    'serves a wrap made for another pool',
    'PAM_WRAP_INVALID place',
    () => unwrapKey(factsWrap.wrap, factsPlace, otherPool.boxKey, log),
  ],
  [
    'replaces the public key of a pool in the log',
    'PAM_TRUST_ENTRY_INVALID signature',
    () => foldLog(createLog(anchor), lies.substituteInLog(entries, 4, { boxKey: ownBox.publicJwk })),
  ],
  [
    'replaces the key of a person in the first entry',
    'PAM_TRUST_ANCHOR anchor',
    () => foldLog(createLog(anchor), lies.substituteInLog(entries, 0, { recoveryKey: ownBox.publicJwk })),
  ],
  [
    'replaces a key in an entry that was seen before',
    'PAM_TRUST_FORKED entry',
    () => foldLog(log, lies.substituteInLog(entries, 4, { boxKey: ownBox.publicJwk })),
  ],
  [
    'forges a person',
    'PAM_TRUST_ENTRY_INVALID signer',
    async () => foldLog(createLog(anchor), await lies.forgeEntry(anchor, entries, personForged, own, now)),
  ],
  [
    'forges a gateway with a key of its own',
    'PAM_TRUST_ENTRY_INVALID signer',
    async () => {
      const gateway = lies.freshUid() as never;
      const body = {
        kind: 'gateway',
        gateway,
        app: honest.app,
        signKey: own.publicJwk,
        boxKey: ownBox.publicJwk,
      } as const;
      return foldLog(log, (await lies.forgeEntry(anchor, entries, body, own, now)).slice(-1));
    },
  ],
  [
    'signs a device of its own in with a pool key',
    'PAM_TRUST_ENTRY_INVALID signer',
    async () => {
      const person = honest.person.uid;
      const shown = { id: own.id as never, key: own.publicJwk, kind: 'cli', label: 'x' } as const;
      const body = { kind: 'device', person, device: shown } as const;
      return foldLog(log, (await lies.forgeEntry(anchor, entries, body, pool.signKey, now)).slice(-1));
    },
  ],
  [
    'serves another log',
    'PAM_TRUST_ANCHOR anchor',
    async () => foldLog(log.head.n > 0 ? createLog(anchor) : log, (await lies.honestInstallation(now)).entries),
  ],
  [
    'forks the log for a machine that has seen the other branch',
    'PAM_TRUST_FORKED entry',
    () => foldLog(log, lies.forkLog(entries, 4, forkedTail)),
  ],
  [
    'forks the log below the floor of a machine without memory',
    'PAM_TRUST_FORKED floor',
    async () =>
      checkFloor(await foldLog(createLog(anchor), lies.forkLog(entries, 4, forkedTail)), {
        n: 4,
        hash: log.hashes[4] ?? '',
      }),
  ],
  [
    'joins a branch onto an entry it does not follow',
    'PAM_TRUST_FORKED prev',
    async () => foldLog(await foldLog(createLog(anchor), lies.forkLog(entries, 4, forkedTail)), entries.slice(5)),
  ],
  [
    'shortens the log',
    'PAM_TRUST_SHORTENED floor',
    async () => checkFloor(await foldLog(createLog(anchor), lies.shortenLog(entries, 3)), log.head),
  ],
  [
    'leaves an entry out',
    'PAM_TRUST_ENTRY_INVALID missing',
    () => foldLog(createLog(anchor), lies.dropEntry(entries, 2)),
  ],
  [
    'changes the order of entries',
    'PAM_TRUST_ENTRY_INVALID missing',
    () => foldLog(createLog(anchor), lies.reorderLog(entries, 2)),
  ],
  [
    'withholds entries from the instance',
    'PAM_TRUST_BEHIND head',
    async () => {
      const short = await foldLog(createLog(anchor), lies.shortenLog(entries, 5));
      return verifyRequest(request, { gateway: pool.uid, log: short, nowSeconds: now });
    },
  ],
  [
    'shows the instance another branch than the client',
    'PAM_TRUST_FORKED head',
    async () => {
      const tail = await foldLog(createLog(anchor), entries.slice(0, 5));
      const other = { kind: 'application', app: lies.freshUid() as never } as const;
      const branch = await lies.appendEntry(entries.slice(0, 5), tail, other, device, now);
      return verifyRequest(request, { gateway: pool.uid, log: branch.log, nowSeconds: now });
    },
  ],
  [
    'redirects a session to another gateway',
    'PAM_REQUEST_INVALID audience',
    () => verifyRequest(request, { gateway: otherPool.uid, log, nowSeconds: now }),
  ],
  [
    'redirects a session to another resource by editing the request',
    'PAM_REQUEST_INVALID signature',
    () =>
      verifyRequest(lies.editPayload(request, { resource: otherMachine.uid, revs: { [otherMachine.uid]: 1 } }), {
        gateway: pool.uid,
        log,
        nowSeconds: now,
      }),
  ],
  [
    'redirects a session to another resource by serving another record',
    'PAM_SEAL_MISPLACED uid',
    async () => {
      const wanted = await verifyRequest(request, { gateway: pool.uid, log, nowSeconds: now });
      return readFacts(otherMachine, { ...machine, uid: wanted.resource });
    },
  ],
  [
    'rewires a link to another configuration',
    'PAM_SEAL_MISPLACED uid',
    async () => {
      const served = lies.rewireLinks(machine, { configuration: otherMachine.uid });
      const facts = (await readFacts(served, machine)).body as { configuration: never };
      return readFacts(
        { ...otherMachine, type: 'pamNetworkConfiguration' },
        { ...configuration, uid: facts.configuration },
      );
    },
  ],
  [
    'signs a request with a key of its own',
    'PAM_REQUEST_INVALID signer',
    async () => verifyRequest(await signRequest(claims, own), { gateway: pool.uid, log, nowSeconds: now }),
  ],
];

test.each(moves)('[C2] [C4] a router that %s is told apart: %s', async (_lie, end, act) => {
  expect(await refusedWith(act)).toBe(end);
});

test('the table holds every kind of lie, and the honest reader accepts what an honest router serves', async () => {
  expect(new Set(moves.map(([lie]) => lie)).size).toBe(moves.length);
  expect((await readFacts(machine, machine)).body).toEqual(honest.machineFacts);
  expect((await readSecrets(user, user)).body).toEqual(honest.userSecrets);
  expect(await unwrapKey(factsWrap.wrap, factsPlace, pool.boxKey, log)).toEqual(keys.facts);
  expect(await verifyRequest(request, { gateway: pool.uid, log, nowSeconds: now })).toEqual(claims);
});

test('[C5] flipped flags and rewired links in the plain mirror change nothing of what is read from the sealed facts', async () => {
  const lied = lies.rewireLinks(lies.flipFlags(machine), { configuration: null, credentials: [] });
  expect((await readFacts(lied, machine)).body).toEqual((await readFacts(machine, machine)).body);
  expect(peekPlace(lied.parts.facts?.envelope ?? '').uid).toBe(machine.uid);
});
