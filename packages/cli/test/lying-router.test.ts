import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Item, itemUidSchema, type KeyWrap } from '@sallyport/protocol';
import { newSigningKey, sealPart, type SigningKey, wrapKey } from '@sallyport/seal';
import {
  appendEntry,
  dropEntry,
  flipFlags,
  forgeEntry,
  forkLog,
  freshUid,
  type HonestInstallation,
  honestInstallation,
  relabel,
  reorderLog,
  replayUnder,
  rewireLinks,
  sealOwnPart,
  serveAsPart,
  serveOlder,
  serveOlderAsNewer,
  serveWrapAs,
  shortenLog,
  substituteInLog,
  swapEnvelopes,
  wrapOwnKey,
} from '@sallyport/testkit';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { createActorChain } from '../src/api/actor-chain.ts';
import { logHeadHeader } from '../src/api/heads.ts';
import { createLogGiver } from '../src/api/give-back-log.ts';
import { keepHeads } from '../src/api/head-keeper.ts';
import { createRouterClient, type RouterClient } from '../src/api/router-client.ts';
import type { Transport } from '../src/api/transport.ts';
import { openProfileStore, type Profile } from '../src/profile/profile-store.ts';
import { systemClock } from '../src/time/system-clock.ts';
import { openTrustLog } from '../src/vault/trust-log.ts';
import { openVault } from '../src/vault/vault.ts';

/** What the router serves; a lie changes one of these. */
interface Served {
  entries: readonly string[];
  items: readonly Item[];
  wraps: readonly KeyWrap[];
  application: Item;
  /** Answers single items; by default the one asked for. */
  getItem?: (uid: string) => Item | undefined;
  headers: Record<string, string>;
  /** What becomes of entries that are given back: kept, or taken and forgotten; absent: the router knows no such route. */
  givenBack?: { keeps: boolean; calls: number };
}

const nowSeconds = Math.floor(Date.now() / 1_000);
let honest: HonestInstallation;
let own: SigningKey;
let wraps: readonly KeyWrap[];
let application: Item;

beforeAll(async () => {
  honest = await honestInstallation(nowSeconds);
  own = await newSigningKey();
  const { app, keys, device, person } = honest;
  wraps = await Promise.all(
    (['facts', 'secrets', 'recordings'] as const).map(async (part) => ({
      app,
      part,
      gen: 1,
      recipient: person.boxKey.id,
      wrap: await wrapKey({ app, part, gen: 1 }, keys[part], person.boxKey.publicJwk, device, nowSeconds),
    })),
  );
  const uid = itemUidSchema.parse(app);
  const place = { app, uid, type: 'application', part: 'facts', gen: 1, rev: 1 } as const;
  application = {
    ...honest.user,
    uid,
    type: 'application',
    parts: {
      facts: { rev: 1, gen: 1, envelope: await sealPart(place, { title: 'prod' }, keys.facts, device, nowSeconds) },
    },
  };
});

function honestly(): Served {
  const machine = rewireLinks(honest.machine, { credentials: [] });
  const items = [honest.configuration, machine, honest.otherMachine, honest.user];
  return { entries: honest.entries, items, wraps, application, headers: {} };
}

function transportOf(served: Served): Transport {
  const answer = (path: string, query: URLSearchParams): unknown => {
    const last = served.entries.length - 1;
    if (path === '/v1/log') {
      const from = Number(query.get('from') ?? 0);
      return {
        entries: served.entries.slice(from),
        head: { n: last, hash: hashes.get(served.entries[last] ?? '') ?? 'x'.repeat(43) },
      };
    }
    if (path === '/v1/applications') return { applications: [{ item: served.application, wraps: served.wraps }] };
    if (path === '/v1/items')
      return { items: served.items.filter((item) => item.type === (query.get('type') ?? item.type)), more: false };
    const uid = path.slice('/v1/items/'.length);
    return { item: served.getItem?.(uid) ?? served.items.find((item) => item.uid === uid) };
  };
  return {
    address: 'pam.example:7443',
    close: () => undefined,
    send: async ({ path, body }) => {
      const [name = '', query = ''] = path.split('?');
      if (name === '/v1/log/given-back') {
        const given = served.givenBack;
        if (given === undefined) return noRoute;
        given.calls += 1;
        const { entries } = JSON.parse(body ?? '') as { entries: string[] };
        if (given.keeps) served.entries = [...served.entries, ...entries];
        if (given.keeps) served.headers = {};
        const { head } = answer('/v1/log', new URLSearchParams()) as { head: unknown };
        return { status: 200, headers: {}, body: JSON.stringify({ head }) };
      }
      return { status: 200, headers: served.headers, body: JSON.stringify(answer(name, new URLSearchParams(query))) };
    },
  };
}

const noRoute = {
  status: 404,
  headers: {},
  body: JSON.stringify({ error: { code: 'PAM_NOT_FOUND', message: 'no route', remedy: '', detail: {} } }),
};

/** Hash by entry, so that the double can name heads of logs it made up. */
const hashes = new Map<string, string>();
async function learnHashes(entries: readonly string[]): Promise<void> {
  const { entryHash } = await import('@sallyport/seal');
  for (const entry of entries) if (!hashes.has(entry)) hashes.set(entry, await entryHash(entry));
}

async function openPam(served: Served, home?: string) {
  await learnHashes(served.entries);
  const folder = home ?? (await mkdtemp(join(tmpdir(), 'pam-lies-')));
  onTestFinished(async () => rm(folder, { recursive: true, force: true }));
  const signal = new AbortController().signal;
  const store = openProfileStore(folder, 'default', { clock: systemClock, signal });
  const profile: Profile = {
    v: 1,
    router: 'pam.example:7443',
    pins: [honest.router.pin],
    anchor: honest.anchor,
    floor: { n: 1, hash: honest.log.hashes[1] ?? '' },
    person: { uid: honest.person.uid, name: 'anna' },
  };
  const told: string[] = [];
  const giver = createLogGiver({
    client: () => client,
    store,
    anchor: honest.anchor,
    clock: systemClock,
    tell: (text) => told.push(text),
  });
  const heads = await keepHeads({ store, pins: profile.pins, clock: systemClock, giver });
  const client: RouterClient = createRouterClient({
    transport: transportOf(served),
    clock: systemClock,
    signal,
    jitter: () => 0,
    device: { key: honest.device, accessToken: () => 't'.repeat(43) },
    watchHeads: heads.watch,
  });
  const { anchor, floor } = profile;
  const log = await openTrustLog({ client, store, clock: systemClock, signal, jitter: () => 0, anchor, floor, giver });
  const warnings: string[] = [];
  const chain = createActorChain({ client, store, device: honest.device, clock: systemClock });
  const person = { ...honest.person, name: 'anna' };
  const device = { key: honest.device, label: 'laptop', rest: new Uint8Array(32) };
  const vault = openVault({
    signedIn: { client, chain, log, device, person, store },
    clock: systemClock,
    warn: (text) => warnings.push(text),
  });
  return { folder, log, vault, warnings, client, told };
}

async function readMachine(served: Served, home?: string) {
  const pam = await openPam(served, home);
  await pam.log.sync();
  return { ...pam, item: await pam.vault.item(honest.machine.uid) };
}
const code = (wanted: string) => expect.objectContaining({ code: wanted });

test('an honest router is believed', async () => {
  const { item, vault, warnings } = await readMachine(honestly());
  expect(item).toMatchObject({ title: 'web1', factsRev: 2, facts: { host: '10.0.0.5' } });
  expect(await vault.secrets(await vault.item(honest.user.uid))).toMatchObject({ password: 'correct horse' });
  expect((await vault.applications()).map((one) => one.title)).toEqual(['prod']);
  expect(warnings).toEqual([]);
});

test.each<[string, () => Item | Promise<Item>, string]>([
  [
    'the facts of another record',
    () => swapEnvelopes(honest.machine, honest.otherMachine, 'facts')[0],
    'PAM_SEAL_MISPLACED',
  ],
  ['another record under this UID', () => replayUnder(honest.otherMachine, honest.machine.uid), 'PAM_SEAL_MISPLACED'],
  [
    'an older revision under the newer number',
    () => serveOlderAsNewer(honest.machine, honest.machineBefore, 'facts'),
    'PAM_SEAL_STALE',
  ],
  [
    'an older revision with an edited header',
    () => relabel(honest.machine, honest.machineBefore, 'facts'),
    'PAM_SEAL_BROKEN',
  ],
  ['facts under another type', () => ({ ...honest.machine, type: 'pamDatabase' as const }), 'PAM_SEAL_MISPLACED'],
  [
    'facts sealed with a key of its own',
    () =>
      sealOwnPart(
        honest.machine,
        'facts',
        { title: 'web1', host: '10.6.6.6', port: 22 },
        new Uint8Array(32),
        own,
        nowSeconds,
      ),
    'PAM_SEAL_BROKEN',
  ],
  [
    'facts sealed with the right key by nobody we know',
    () =>
      sealOwnPart(
        honest.machine,
        'facts',
        { title: 'web1', host: '10.6.6.6', port: 22 },
        honest.keys.facts,
        own,
        nowSeconds,
      ),
    'PAM_SEAL_AUTHOR',
  ],
])('%s: refused', async (_, lie, wanted) => {
  const item = await lie();
  await expect(readMachine({ ...honestly(), getItem: () => item })).rejects.toThrow(code(wanted));
});

test('another item than the one asked for: refused', async () => {
  await expect(readMachine({ ...honestly(), getItem: () => honest.otherMachine })).rejects.toThrow(
    code('PAM_SEAL_MISPLACED'),
  );
});

test('secrets served as those of another part: refused', async () => {
  const pam = await openPam(honestly());
  await pam.log.sync();
  const user = await pam.vault.item(honest.user.uid);
  const lie = serveAsPart(honest.user, 'facts', 'secrets');
  await expect(pam.vault.secrets({ ...user, item: lie })).rejects.toThrow(
    expect.objectContaining({ code: expect.stringMatching(/^PAM_SEAL_/) }),
  );
});

test('an older revision than one seen before: refused, also by a later process of this profile', async () => {
  const first = await readMachine(honestly());
  const older = serveOlder(honest.machine, honest.machineBefore, 'facts');
  await expect(readMachine({ ...honestly(), getItem: () => older }, first.folder)).rejects.toThrow(
    code('PAM_SEAL_STALE'),
  );
});

test('another text under a revision seen before: refused', async () => {
  const first = await readMachine(honestly());
  const { app, uid, type } = honest.machine;
  const place = { app, uid, type, part: 'facts', gen: 1, rev: 2 } as const;
  const envelope = await sealPart(
    place,
    { title: 'web1', host: '10.0.0.9', port: 22, configuration: null },
    honest.keys.facts,
    honest.device,
    nowSeconds,
  );
  const rewritten = { ...honest.machine, parts: { facts: { rev: 2, gen: 1, envelope } } };
  await expect(readMachine({ ...honestly(), getItem: () => rewritten }, first.folder)).rejects.toThrow(
    expect.objectContaining({ code: 'PAM_SEAL_STALE', detail: expect.objectContaining({ why: 'rewritten' }) }),
  );
});

test('one record that cannot be believed is told apart; the others are still read', async () => {
  const [bad] = swapEnvelopes(honest.machine, honest.otherMachine, 'facts');
  const pam = await openPam({ ...honestly(), items: [bad, honest.otherMachine] });
  await pam.log.sync();
  const { items, unreadable } = await pam.vault.items(['pamMachine']);
  expect(items.map((item) => item.title)).toEqual(['web2']);
  expect(unreadable.map((one) => [one.uid, one.error.code])).toEqual([[honest.machine.uid, 'PAM_SEAL_MISPLACED']]);
  await expect(pam.vault.allItems(['pamMachine'])).rejects.toThrow(code('PAM_SEAL_MISPLACED'));
});

test('rewired links and flipped flags change nothing that decides, and are told', async () => {
  const lie = flipFlags(rewireLinks(honest.machine, { configuration: null, credentials: [] }));
  const { item, warnings } = await readMachine({ ...honestly(), getItem: () => lie });
  expect(item.facts).toMatchObject({ configuration: honest.configuration.uid, permissions: { tunneling: 'default' } });
  expect(warnings).toEqual([expect.stringMatching(/configuration.*tunneling.*The sealed values hold/)]);
});

test('a wrap of a key of the router’s own: refused', async () => {
  const [facts] = wraps as [KeyWrap];
  const { wrap } = await wrapOwnKey(facts, honest.person.boxKey.publicJwk, own, nowSeconds);
  await expect(readMachine({ ...honestly(), wraps: [wrap] })).rejects.toThrow(code('PAM_WRAP_INVALID'));
});

test('the wrap of one key served as another: refused', async () => {
  const [facts, secrets] = wraps as [KeyWrap, KeyWrap];
  await expect(readMachine({ ...honestly(), wraps: [serveWrapAs(secrets, facts)] })).rejects.toThrow(
    code('PAM_WRAP_INVALID'),
  );
});

test('a withheld wrap: told as a missing right, nothing is read', async () => {
  await expect(readMachine({ ...honestly(), wraps: [] })).rejects.toThrow(code('PAM_NOT_ALLOWED'));
});

test.each<[string, () => readonly string[] | Promise<readonly string[]>, string]>([
  [
    'a public key substituted in an entry',
    () => substituteInLog(honest.entries, 4, { signKey: own.publicJwk }),
    'PAM_TRUST_ENTRY_INVALID',
  ],
  ['another first entry', () => substituteInLog(honest.entries, 0, { installation: freshUid() }), 'PAM_TRUST_ANCHOR'],
  [
    'a device of its own',
    async () =>
      forgeEntry(
        honest.anchor,
        honest.entries,
        {
          kind: 'device',
          person: honest.person.uid,
          device: { id: own.id as never, key: own.publicJwk, kind: 'cli', label: 'x' },
        },
        own,
        nowSeconds,
      ),
    'PAM_TRUST_ENTRY_INVALID',
  ],
  ['an entry left out', () => dropEntry(honest.entries, 2), 'PAM_TRUST_'],
  ['two entries in another order', () => reorderLog(honest.entries, 3), 'PAM_TRUST_'],
])('a trust log with %s: refused', async (_, lie, wanted) => {
  const entries = await lie();
  const pam = await openPam({ ...honestly(), entries });
  await expect(pam.log.sync()).rejects.toThrow(expect.objectContaining({ code: expect.stringContaining(wanted) }));
});

test('a trust log shorter than one seen before: refused, by its list and by the header of any reply', async () => {
  const first = await readMachine(honestly());
  const short = shortenLog(honest.entries, 3);
  const later = await openPam({ ...honestly(), entries: short }, first.folder);
  await expect(later.log.sync()).rejects.toThrow(code('PAM_TRUST_SHORTENED'));
  const header = { [logHeadHeader]: `2:${honest.log.hashes[2]}` };
  const other = await openPam({ ...honestly(), headers: header }, first.folder);
  await expect(other.vault.item(honest.machine.uid)).rejects.toThrow(code('PAM_TRUST_SHORTENED'));
});

test('a router that lost entries is given them, once, and what it answered before is read as ever', async () => {
  const first = await readMachine(honestly());
  const short = shortenLog(honest.entries, 3);
  const header = { [logHeadHeader]: `2:${honest.log.hashes[2]}` };
  const served: Served = { ...honestly(), entries: short, headers: header, givenBack: { keeps: true, calls: 0 } };
  const later = await openPam(served, first.folder);
  expect((await later.vault.item(honest.machine.uid)).title).toBe('web1');
  expect(await later.log.sync()).toMatchObject({ head: honest.log.head });
  expect([served.entries, served.givenBack?.calls, later.told.length]).toEqual([honest.entries, 1, 1]);
});

test('a router that takes entries and forgets them again is refused, and no command works on for it', async () => {
  const first = await readMachine(honestly());
  const short = shortenLog(honest.entries, 3);
  const header = { [logHeadHeader]: `2:${honest.log.hashes[2]}` };
  const served: Served = { ...honestly(), entries: short, headers: header, givenBack: { keeps: false, calls: 0 } };
  const later = await openPam(served, first.folder);
  for (let asked = 0; asked < 3; asked++) {
    await expect(later.vault.item(honest.machine.uid)).rejects.toThrow(code('PAM_TRUST_SHORTENED'));
    await expect(later.log.sync()).rejects.toThrow(code('PAM_TRUST_SHORTENED'));
  }
  expect([served.givenBack?.calls, later.told]).toEqual([1, []]);
});

test('a trust log below the floor of the profile: refused even by a device without memory', async () => {
  const pam = await openPam({ ...honestly(), entries: shortenLog(honest.entries, 1) });
  await expect(pam.log.sync()).rejects.toThrow(code('PAM_TRUST_SHORTENED'));
});

test('another history than one seen before: refused', async () => {
  const first = await readMachine(honestly());
  const before = shortenLog(honest.entries, 4);
  const { foldLog, createLog } = await import('@sallyport/seal');
  const log = await foldLog(createLog(honest.anchor), before);
  const gateway = {
    kind: 'gateway' as const,
    gateway: honest.pool.uid,
    app: honest.app,
    signKey: own.publicJwk,
    boxKey: honest.pool.boxKey.publicJwk,
  };
  let forked = await appendEntry(before, log, gateway, honest.device, nowSeconds);
  for (let n = 0; n < 3; n++) {
    forked = await appendEntry(
      forked.entries,
      forked.log,
      { kind: 'application', app: freshUid() as never },
      honest.device,
      nowSeconds,
    );
  }
  const entries = forkLog(forked.entries, 4, forked.entries.slice(4));
  const later = await openPam({ ...honestly(), entries }, first.folder);
  await expect(later.log.sync()).rejects.toThrow(code('PAM_TRUST_FORKED'));
  await expect(first.log.atLeast({ n: 4, hash: 'x'.repeat(43) })).rejects.toThrow(code('PAM_TRUST_FORKED'));
  await expect(first.log.atLeast({ n: 99, hash: 'x'.repeat(43) })).rejects.toThrow(code('PAM_TRUST_BEHIND'));
});
