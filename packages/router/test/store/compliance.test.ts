import type { Decision, PamError, PersonUid } from '@sallyport/protocol';
import { describe, expect, test } from 'vitest';
import type { PoolSnapshot } from '../../src/pool/index.ts';
import type { Store } from '../../src/store/index.ts';
import { postgresUnderTest, sqliteUnderTest } from './engines.ts';
import { testNowMs } from './engines-time.ts';
import {
  appUid,
  application,
  deviceId,
  emptyMirror,
  gatewayUid,
  hash,
  host,
  instanceId,
  itemUid,
  join,
  person,
  personUid,
  record,
  sealedPart,
  sessionId,
  streamId,
  wrap,
} from './samples.ts';

const nowMs = testNowMs;

async function codeOf(work: Promise<unknown>): Promise<string> {
  const settled = await Promise.allSettled([work]);
  const [only] = settled;
  return only.status === 'rejected' ? (only.reason as PamError).code : 'nothing was thrown';
}

describe.each([sqliteUnderTest(), postgresUnderTest()])('on $name', (engine) => {
  const on = test.skipIf(engine.missing !== null);

  describe('the vault', () => {
    const withApp = async (): Promise<Store> => {
      const store = await engine.fresh();
      await store.vault.putItems({ items: [application()], author: 'anna', nowMs });
      return store;
    };

    on('keeps every revision and answers the newest', async () => {
      const store = await withApp();
      await store.vault.putItems({ items: [record('web')], author: 'anna', nowMs });
      const second = record('web', { parts: { facts: sealedPart(2), secrets: sealedPart(1, 'secret') } });
      const [written] = await store.vault.putItems({ items: [second], author: 'bert', nowMs: nowMs + 1 });
      expect(written?.parts).toEqual({ facts: sealedPart(2), secrets: sealedPart(1, 'secret') });
      expect(await store.vault.getItem({ uid: itemUid('web') })).toEqual(written);
      const history = await store.vault.historyOf({ uid: itemUid('web') });
      expect(history.map(({ part, rev, author }) => `${part} ${rev} ${author}`)).toEqual([
        'facts 2 bert',
        'secrets 1 bert',
        'facts 1 anna',
      ]);
    });

    on('refuses a revision that is not the next, and then writes nothing of the batch', async () => {
      const store = await withApp();
      await store.vault.putItems({ items: [record('web')], author: 'anna', nowMs });
      const stale = store.vault.putItems({ items: [record('other'), record('web')], author: 'anna', nowMs });
      expect(await codeOf(stale)).toBe('PAM_CONFLICT');
      expect(await store.vault.getItem({ uid: itemUid('other') })).toBeNull();
    });

    on('lets one of two writers of the same revision win', async () => {
      const store = await withApp();
      await store.vault.putItems({ items: [record('web')], author: 'anna', nowMs });
      const write = (author: string): Promise<unknown> =>
        store.vault.putItems({ items: [record('web', { parts: { facts: sealedPart(2, author) } })], author, nowMs });
      const outcomes = await Promise.allSettled(['a', 'b', 'c', 'd'].map(write));
      expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
    });

    on('never changes type or application, and never uses a UID again', async () => {
      const store = await withApp();
      await store.vault.putItems({ items: [record('web')], author: 'anna', nowMs });
      const other = record('web', { type: 'pamUser', parts: { facts: sealedPart(2) } });
      expect(await codeOf(store.vault.putItems({ items: [other], author: 'anna', nowMs }))).toBe('PAM_CONFLICT');
      await store.vault.removeItem({ uid: itemUid('web'), nowMs });
      const again = record('web', { parts: { facts: sealedPart(2) } });
      expect(await codeOf(store.vault.putItems({ items: [again], author: 'anna', nowMs }))).toBe('PAM_CONFLICT');
      expect(await store.vault.historyOf({ uid: itemUid('web') })).toHaveLength(1);
    });

    on('refuses links to what is not in the application, and removal of what is linked to', async () => {
      const store = await withApp();
      const linked = record('web', { mirror: { ...emptyMirror, credentials: [itemUid('root')] } });
      expect(await codeOf(store.vault.putItems({ items: [linked], author: 'anna', nowMs }))).toBe('PAM_NOT_FOUND');
      await store.vault.putItems({ items: [linked, record('root', { type: 'pamUser' })], author: 'anna', nowMs });
      await expect(store.vault.removeItem({ uid: itemUid('root'), nowMs })).rejects.toMatchObject({
        code: 'PAM_IN_USE',
        detail: { dependants: itemUid('web'), count: 1 },
      });
      expect(await codeOf(store.vault.removeItem({ uid: appUid(), nowMs }))).toBe('PAM_IN_USE');
      await store.vault.removeItem({ uid: itemUid('web'), nowMs });
      await store.vault.removeItem({ uid: itemUid('root'), nowMs });
      expect(await codeOf(store.vault.removeItem({ uid: itemUid('root'), nowMs }))).toBe('PAM_NOT_FOUND');
    });

    on('lists in UID order, page by page, with the parts asked for', async () => {
      const store = await withApp();
      const items = ['c', 'a', 'b', 'd'].map((name) =>
        record(name, { parts: { facts: sealedPart(1), secrets: sealedPart(1) } }),
      );
      await store.vault.putItems({ items, author: 'anna', nowMs });
      const types = ['pamMachine'] as const;
      const first = await store.vault.listItems({ app: appUid(), types, parts: 'facts', limit: 3 });
      expect([first.items.map((item) => item.uid), first.more]).toEqual([['a', 'b', 'c'].map(itemUid), true]);
      expect(first.items[0]?.parts).toEqual({ facts: sealedPart(1) });
      const rest = await store.vault.listItems({ types, after: itemUid('c'), parts: 'all', limit: 3 });
      expect([rest.items.map((item) => item.uid), rest.more]).toEqual([[itemUid('d')], false]);
      expect(Object.keys(rest.items[0]?.parts ?? {}).sort()).toEqual(['facts', 'secrets']);
    });

    on('adds revisions of state alone', async () => {
      const store = await withApp();
      await store.vault.putItems({ items: [record('web')], author: 'anna', nowMs });
      const put = (rev: number): Promise<void> =>
        store.vault.putState({ uid: itemUid('web'), state: sealedPart(rev), author: 'instance', nowMs });
      await put(1);
      expect(await codeOf(put(1))).toBe('PAM_CONFLICT');
      await put(2);
      expect((await store.vault.getItem({ uid: itemUid('web') }))?.parts.state).toEqual(sealedPart(2));
    });

    on('replaces a wrap for the same recipient and answers only those asked for', async () => {
      const store = await withApp();
      await store.vault.putWraps({ wraps: [wrap('anna'), wrap('bert'), wrap('anna', { gen: 2 })] });
      await store.vault.putWraps({ wraps: [wrap('anna', { wrap: 'n'.repeat(32) })] });
      const wraps = await store.vault.listWraps({ recipients: [hash('anna')], app: appUid() });
      expect(wraps.map((row) => [row.gen, row.wrap.slice(0, 6)])).toEqual([
        [2, 'wrap-a'],
        [1, 'nnnnnn'],
      ]);
    });
  });

  describe('the trust log', () => {
    const entry = (n: number, text = 'e'): { n: number; hash: string; entry: string } => ({
      n,
      hash: hash(`${text}${n}`),
      entry: `${text}${n}`,
    });

    on('appends only to the head the caller knows', async () => {
      const store = await engine.fresh();
      expect(await store.trust.headOfLog({})).toBeNull();
      await store.trust.appendEntries({ expected: null, entries: [entry(0), entry(1)], nowMs });
      const head = { n: 1, hash: hash('e1') };
      expect(await store.trust.headOfLog({})).toEqual(head);
      const at = (expected: { n: number; hash: string } | null, entries: ReturnType<typeof entry>[]): Promise<string> =>
        codeOf(store.trust.appendEntries({ expected, entries, nowMs }));
      expect(await at(null, [entry(0, 'x')])).toBe('PAM_TRUST_LOG_MOVED');
      expect(await at({ n: 1, hash: hash('other') }, [entry(2)])).toBe('PAM_TRUST_LOG_MOVED');
      expect(await at(head, [entry(3)])).toBe('PAM_BAD_REQUEST');
      expect(await store.trust.listEntries({ from: 1, limit: 5 })).toEqual([entry(1)]);
    });

    on('takes one of many appends to the same head', async () => {
      const store = await engine.fresh();
      await store.trust.appendEntries({ expected: null, entries: [entry(0)], nowMs });
      const expected = { n: 0, hash: hash('e0') };
      const outcomes = await Promise.allSettled(
        Array.from({ length: 12 }, (_, i) =>
          store.trust.appendEntries({ expected, entries: [entry(1, `w${i}-`)], nowMs }),
        ),
      );
      expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
      const codes = outcomes.flatMap((o) => (o.status === 'rejected' ? [(o.reason as PamError).code] : []));
      expect(new Set(codes)).toEqual(new Set(['PAM_TRUST_LOG_MOVED']));
    });
  });

  describe('people and sign-ins', () => {
    const claim = (store: Store, text = 'anna', secretHash = 's'): Promise<void> =>
      store.identity.claimRouter({ secretHash, person: person(text), nowMs });

    on('is claimed once, with the right secret, in time', async () => {
      const store = await engine.fresh();
      await store.identity.writeSetting({ key: 'setup-secret', value: 's' });
      await store.identity.writeSetting({ key: 'setup-expires-at-ms', value: String(nowMs) });
      expect(await codeOf(claim(store, 'anna', 'wrong'))).toBe('PAM_SETUP_CODE_INVALID');
      expect(await codeOf(claim(store))).toBe('PAM_SETUP_CODE_INVALID');
      await store.identity.writeSetting({ key: 'setup-expires-at-ms', value: String(nowMs + 1) });
      const outcomes = await Promise.allSettled([claim(store), claim(store, 'bert'), claim(store, 'carl')]);
      expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
      const named = await Promise.all(
        ['anna', 'bert', 'carl'].map((name) => store.identity.findPersonByName({ name })),
      );
      expect(named.filter((person) => person !== null)).toHaveLength(1);
      expect(await codeOf(claim(store, 'dora'))).toBe('PAM_ROUTER_CLAIMED');
    });

    on('finds people by name without regard to case, and nobody else', async () => {
      const store = await engine.fresh();
      await store.identity.writeSetting({ key: 'setup-secret', value: 's' });
      await claim(store);
      expect(await store.identity.findPersonByName({ name: 'ANNA' })).toEqual(person());
      expect(await store.identity.findPersonByName({ name: 'ann' })).toBeNull();
      expect(await store.identity.findPerson({ uid: personUid('anna') })).toEqual(person());
    });

    on('spends a recovery code once and ends every sign-in', async () => {
      const store = await engine.fresh();
      await store.identity.writeSetting({ key: 'setup-secret', value: 's' });
      await claim(store);
      const signIn = {
        tokenHash: hash('t'),
        person: personUid('anna'),
        device: deviceId(),
        createdAtMs: nowMs,
        expiresAtMs: nowMs + 10,
      };
      await store.identity.addSignIn({ signIn });
      expect(await store.identity.findSignIn({ tokenHash: hash('t'), nowMs })).toEqual(signIn);
      expect(await store.identity.findSignIn({ tokenHash: hash('t'), nowMs: nowMs + 10 })).toBeNull();
      const recover = (newLookup: string): Promise<unknown> =>
        store.identity.recoverPerson({
          lookup: 'lookup-anna',
          registrationRecord: 'new',
          ksf: 1,
          blob: 'new',
          newLookup,
          newBlob: 'new',
          nowMs,
        });
      const outcomes = await Promise.allSettled([recover('one'), recover('two')]);
      expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
      expect(await store.identity.findSignIn({ tokenHash: hash('t'), nowMs })).toBeNull();
      expect(await store.identity.findPersonByRecovery({ lookup: 'lookup-anna' })).toBeNull();
    });

    on('keeps so many attempts at once, and gives each out once', async () => {
      const store = await engine.fresh();
      const add = (id: string, expiresAtMs = nowMs + 60_000): Promise<void> =>
        store.identity.addAttempt({
          attempt: { id, person: null, serverState: 'state', expiresAtMs },
          capacity: 2,
          nowMs,
        });
      await add('old', nowMs);
      await add('a');
      await add('b');
      expect(await codeOf(add('c'))).toBe('PAM_RATE_LIMITED');
      const taken = await Promise.all([1, 2, 3].map(() => store.identity.takeAttempt({ id: 'a', nowMs })));
      expect(taken.filter((attempt) => attempt !== null)).toHaveLength(1);
      expect(await store.identity.takeAttempt({ id: 'b', nowMs: nowMs + 60_000 })).toBeNull();
    });

    on('makes a setting once, whoever asks first', async () => {
      const store = await engine.fresh();
      const values = await Promise.all(['a', 'b', 'c'].map((value) => store.identity.initSetting({ key: 'k', value })));
      expect(new Set(values).size).toBe(1);
      expect(await store.identity.readSetting({ key: 'k' })).toBe(values[0]);
    });
  });

  describe('sessions', () => {
    const decision: Decision = { atMs: nowMs, cursorBefore: -1, candidates: [], pick: instanceId('i'), cause: 'first' };
    const start = async (): Promise<Store> => {
      const store = await engine.fresh();
      await store.session.startSession({
        session: sessionId('s'),
        person: personUid(),
        device: deviceId(),
        gateway: gatewayUid(),
        resource: itemUid('web'),
        workload: 'tunnel',
        startedAtMs: nowMs,
      });
      return store;
    };
    const routed = (text: string, atMs = nowMs) =>
      ({
        kind: 'routed',
        stream: streamId(text),
        session: sessionId('s'),
        instance: instanceId('i'),
        decision,
        atMs,
      }) as const;

    on('follows a stream from its picks to its first end', async () => {
      const store = await start();
      const ended = { kind: 'ended', stream: streamId('a'), bytesUp: 5, bytesDown: 7 } as const;
      await store.session.writeStreams({
        changes: [
          routed('a'),
          { ...routed('a', nowMs + 1), instance: instanceId('j') },
          { kind: 'opened', stream: streamId('a'), instance: instanceId('j'), atMs: nowMs + 2 },
          { ...ended, reason: 'client-closed', atMs: nowMs + 3 },
          { ...ended, reason: 'instance-lost', atMs: nowMs + 4 },
          { ...ended, stream: streamId('unknown'), reason: 'failed', atMs: nowMs },
        ],
      });
      const [explained] = await store.session.explainStreams({ id: streamId('a') });
      expect(explained?.decisions).toEqual([decision, decision]);
      expect(explained?.stream).toMatchObject({
        instance: instanceId('j'),
        state: 'ended',
        reason: 'client-closed',
        bytesDown: 7,
      });
      expect(await store.session.explainStreams({ lastOf: personUid() })).toEqual([explained]);
    });

    on('goes on with a stream whose target one instance could not reach, unless its session is over', async () => {
      const store = await start();
      const stream = streamId('a');
      const refused = {
        kind: 'ended',
        stream,
        reason: 'target-refused',
        bytesUp: 0,
        bytesDown: 0,
        atMs: nowMs,
      } as const;
      const elsewhere = { ...routed('a', nowMs + 1), instance: instanceId('j') };
      await store.session.writeStreams({ changes: [routed('a'), refused, elsewhere] });
      const [again] = await store.session.explainStreams({ id: stream });
      expect(again?.stream).toMatchObject({
        state: 'routing',
        instance: instanceId('j'),
        endedAtMs: null,
        reason: null,
      });
      const opened = { kind: 'opened', stream, instance: instanceId('j'), atMs: nowMs + 2 } as const;
      await store.session.writeStreams({ changes: [opened, { ...refused, reason: 'client-closed' }, elsewhere] });
      expect((await store.session.explainStreams({ id: stream }))[0]?.stream.state).toBe('ended');
      await store.session.writeStreams({ changes: [routed('b'), { ...refused, stream: streamId('b') }] });
      await store.session.endSession({ session: sessionId('s'), reason: 'stopped', nowMs });
      await store.session.writeStreams({ changes: [{ ...elsewhere, stream: streamId('b') }] });
      expect((await store.session.explainStreams({ id: streamId('b') }))[0]?.stream.state).toBe('ended');
    });

    on('ends a session with its streams, once', async () => {
      const store = await start();
      await store.session.writeStreams({ changes: [routed('a'), routed('b')] });
      const ended = await store.session.endSession({ session: sessionId('s'), reason: 'stopped', nowMs });
      expect(ended.map((row) => row.stream).sort()).toEqual([streamId('a'), streamId('b')]);
      expect(await store.session.endSession({ session: sessionId('s'), reason: 'failed', nowMs })).toEqual([]);
      expect(await store.session.touchSession({ session: sessionId('s'), nowMs })).toEqual({
        ended: 'stopped',
        words: '',
      });
      expect(await codeOf(store.session.touchSession({ session: sessionId('none'), nowMs }))).toBe('PAM_NOT_FOUND');
      const [view] = await store.session.listSessions({ ended: true, streams: true, limit: 5 });
      expect(view).toMatchObject({ openStreams: 0, totalStreams: 2, reason: 'stopped' });
      expect(view?.streams).toHaveLength(2);
      expect(await store.session.listSessions({ ended: false, streams: false, limit: 5 })).toEqual([]);
    });

    on('kills a session or one stream, once, whose and why, and tells a returning instance', async () => {
      const store = await start();
      await store.session.writeStreams({ changes: [routed('a'), routed('b')] });
      const kill = (id: string, by: PersonUid | null = null): Promise<unknown> =>
        store.session.killSession({ id, by, words: 'by anna: audit', nowMs });
      expect(await codeOf(kill(streamId('a'), personUid('foreign')))).toBe('PAM_NOT_FOUND');
      expect(await codeOf(kill(sessionId('s'), personUid('foreign')))).toBe('PAM_NOT_FOUND');
      expect(await codeOf(kill(streamId('none')))).toBe('PAM_NOT_FOUND');
      const session = sessionId('s');
      const person = personUid();
      const running = (name: string) => ({ stream: streamId(name), instance: instanceId('i') });
      expect(await kill(streamId('a'))).toEqual({ killed: 'stream', session, person, streams: [running('a')] });
      expect(await codeOf(kill(streamId('a')))).toBe('PAM_SESSION_ENDED');
      expect(await store.session.touchSession({ session, nowMs })).toEqual({ ended: null, words: '' });
      expect(await kill(session, person)).toEqual({ killed: 'session', session, person, streams: [running('b')] });
      expect(await store.session.touchSession({ session, nowMs })).toEqual({
        ended: 'killed',
        words: 'by anna: audit',
      });
      expect(await codeOf(kill(session))).toBe('PAM_SESSION_ENDED');
      const [view] = await store.session.listSessions({ ended: true, streams: true, limit: 5 });
      expect(view).toMatchObject({ reason: 'killed', words: 'by anna: audit', openStreams: 0 });
      const back = await store.session.reconcileStreams({
        instance: instanceId('i'),
        running: [streamId('a'), streamId('b')],
        routedBeforeMs: nowMs,
        nowMs,
      });
      expect(back.map((each) => each.words)).toEqual(['by anna: audit', 'by anna: audit']);
    });

    on('keeps since when a stream is without a carrier, until it is resumed or ended', async () => {
      const store = await start();
      const [stream, opened] = [
        streamId('a'),
        { kind: 'opened', stream: streamId('a'), instance: instanceId('i') } as const,
      ];
      const detached = { kind: 'detached', stream, atMs: nowMs + 1, untilMs: nowMs + 75_001 } as const;
      const view = async () =>
        (await store.session.listSessions({ ended: true, streams: true, limit: 5 }))[0]?.streams?.[0];
      await store.session.writeStreams({ changes: [routed('a'), { ...opened, atMs: nowMs }, detached] });
      expect(await view()).toMatchObject({ state: 'open', detachedAtMs: nowMs + 1, detachedUntilMs: nowMs + 75_001 });
      expect(await store.session.getStream({ stream })).toEqual({
        session: sessionId('s'),
        instance: instanceId('i'),
        reason: null,
        words: '',
      });
      expect(await store.session.getStream({ stream: streamId('none') })).toBeNull();
      await store.session.writeStreams({ changes: [{ kind: 'resumed', stream, atMs: nowMs + 2 }] });
      expect(await view()).toMatchObject({ detachedAtMs: null, detachedUntilMs: null });
      const ended = {
        kind: 'ended',
        stream,
        reason: 'detached-timeout',
        bytesUp: 0,
        bytesDown: 0,
        atMs: nowMs + 3,
      } as const;
      await store.session.writeStreams({ changes: [detached, ended, detached] });
      expect(await view()).toMatchObject({ state: 'ended', reason: 'detached-timeout', detachedAtMs: null });
    });

    on('sweeps sessions nobody touched', async () => {
      const store = await start();
      await store.session.writeStreams({ changes: [routed('a')] });
      expect(await store.session.sweepSessions({ touchedBeforeMs: nowMs, nowMs })).toEqual([]);
      const swept = await store.session.sweepSessions({ touchedBeforeMs: nowMs + 1, nowMs });
      expect(swept).toEqual([{ session: sessionId('s'), stream: streamId('a'), instance: instanceId('i') }]);
    });

    on('leaves a stream that was picked elsewhere last to the instance that says it runs it', async () => {
      const store = await start();
      await store.session.writeStreams({ changes: [routed('a')] });
      const said = { running: [streamId('a')], routedBeforeMs: nowMs + 50, nowMs: nowMs + 200 };
      const refused = { reason: 'target-refused', bytesUp: 0, bytesDown: 0, atMs: nowMs } as const;
      await store.session.writeStreams({ changes: [{ kind: 'ended', stream: streamId('a'), ...refused }] });
      expect(await store.session.reconcileStreams({ instance: instanceId('j'), ...said })).toEqual([]);
      expect(await store.session.getStream({ stream: streamId('a') })).toMatchObject({ instance: instanceId('j') });
      // Open twice: which of the two its client uses is not known here.
      expect(await store.session.reconcileStreams({ instance: instanceId('k'), ...said })).toEqual([]);
      expect(await store.session.getStream({ stream: streamId('a') })).toMatchObject({ instance: instanceId('j') });
      await store.session.writeStreams({
        changes: [{ kind: 'held', stream: streamId('a'), instance: instanceId('k') }],
      });
      expect(await store.session.getStream({ stream: streamId('a') })).toMatchObject({ instance: instanceId('k') });
      const over = { reason: 'client-closed', bytesUp: 0, bytesDown: 0, atMs: nowMs } as const;
      const opened = { kind: 'opened', stream: streamId('a'), instance: instanceId('j'), atMs: nowMs } as const;
      await store.session.writeStreams({
        changes: [opened, { kind: 'ended', stream: streamId('a'), ...over }, opened],
      });
      const [late] = await store.session.reconcileStreams({ instance: instanceId('j'), ...said });
      expect(late).toEqual({ stream: streamId('a'), words: null });
    });

    on('believes who opened a stream after another attempt at it had ended, unless it was killed', async () => {
      const store = await start();
      const lost = { reason: 'client-lost', bytesUp: 0, bytesDown: 0, atMs: nowMs + 1 } as const;
      const stream = streamId('a');
      const opened = { kind: 'opened', stream, instance: instanceId('j'), atMs: nowMs + 2 } as const;
      await store.session.writeStreams({ changes: [routed('a'), { kind: 'ended', stream, ...lost }, opened] });
      const [one] = await store.session.explainStreams({ id: stream });
      expect(one?.stream).toMatchObject({ state: 'open', instance: instanceId('j'), endedAtMs: null, reason: null });
      await store.session.writeStreams({ changes: [routed('b')] });
      await store.session.killSession({ id: streamId('b'), by: null, words: 'by anna', nowMs });
      await store.session.writeStreams({ changes: [{ ...opened, stream: streamId('b') }, routed('b', nowMs + 3)] });
      const [other] = await store.session.explainStreams({ id: streamId('b') });
      expect(other?.stream).toMatchObject({ state: 'ended', reason: 'killed' });
    });

    on(
      'keeps who was asked first when nobody was found later, and believes him when the stream was given up meanwhile',
      async () => {
        const store = await start();
        const nobody = { ...routed('a', nowMs + 1), instance: null };
        const failed = { reason: 'failed', bytesUp: 0, bytesDown: 0, atMs: nowMs + 2 } as const;
        await store.session.writeStreams({
          changes: [routed('a'), nobody, { kind: 'ended', stream: streamId('a'), ...failed }],
        });
        const place = async () => store.session.getStream({ stream: streamId('a') });
        expect(await place()).toMatchObject({ instance: instanceId('i'), reason: 'failed' });
        const said = { running: [streamId('a')], routedBeforeMs: nowMs + 50, nowMs: nowMs + 200 };
        expect(await store.session.reconcileStreams({ instance: instanceId('i'), ...said })).toEqual([]);
        expect(await place()).toMatchObject({ instance: instanceId('i'), reason: null });
      },
    );

    on(
      'believes who opened a stream that was given up before anybody was asked, and then asked for again',
      async () => {
        const store = await start();
        const failed = { reason: 'failed', bytesUp: 0, bytesDown: 0, atMs: nowMs + 1 } as const;
        const end = { kind: 'ended', stream: streamId('a'), ...failed } as const;
        await store.session.writeStreams({ changes: [{ ...routed('a'), instance: null }, end] });
        const place = async () => store.session.getStream({ stream: streamId('a') });
        expect(await place()).toMatchObject({ instance: null, reason: 'failed' });
        await store.session.writeStreams({
          changes: [
            routed('a', nowMs + 2),
            { kind: 'opened', stream: streamId('a'), instance: instanceId('i'), atMs: nowMs + 3 },
          ],
        });
        expect(await place()).toMatchObject({ instance: instanceId('i'), reason: null });
      },
    );

    on('reconciles with what an instance says it runs', async () => {
      const store = await start();
      await store.session.writeStreams({ changes: [routed('kept'), routed('ghost'), routed('fresh', nowMs + 100)] });
      const strangers = await store.session.reconcileStreams({
        instance: instanceId('i'),
        running: [streamId('kept'), streamId('stranger')],
        routedBeforeMs: nowMs + 50,
        nowMs: nowMs + 200,
      });
      expect(strangers).toEqual([{ stream: streamId('stranger'), words: null }]);
      const [view] = await store.session.listSessions({ ended: false, streams: true, limit: 5 });
      const states = Object.fromEntries(
        (view?.streams ?? []).map((row) => [row.stream.replaceAll('_', ''), row.state]),
      );
      expect(states).toEqual({ kept: 'routing', ghost: 'ended', fresh: 'routing' });
      expect(await store.session.loseInstance({ instance: instanceId('i'), nowMs })).toBe(2);
    });
  });

  describe('the audit', () => {
    const event = (actor: { seq: number; prev: string } | null) => ({
      atMs: nowMs,
      kind: 'k',
      body: '{}',
      actorEvent: null,
      actor: actor === null ? null : { id: 'anna', ...actor, hash: hash(`a${actor.seq}`) },
    });
    const append = (store: Store, start: number, events: ReturnType<typeof event>[]) =>
      store.audit.appendEvents({ router: hash('r'), start, events });

    on('chains what is appended at once, without gap or fork', async () => {
      const store = await engine.fresh();
      await Promise.all(Array.from({ length: 20 }, () => append(store, 1, [event(null), event(null)])));
      const { events, more } = await store.audit.listEvents({ start: 0, after: 0, limit: 100, order: 'oldest' });
      expect(more).toBe(false);
      expect(events.map((row) => row.seq)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
      expect(events.slice(1).map((row) => row.prev)).toEqual(events.slice(0, -1).map((row) => row.hash));
      const [head] = await store.audit.listHeads({});
      expect(head).toMatchObject({ start: 1, seq: 40, hash: events.at(-1)?.hash });
    });

    on('continues an actor only from where its chain stands, and undoes the rest with it', async () => {
      const store = await engine.fresh();
      await append(store, 1, [event({ seq: 1, prev: '' })]);
      expect(await codeOf(append(store, 1, [event({ seq: 1, prev: '' })]))).toBe('PAM_AUDIT_SEQUENCE');
      expect(await codeOf(append(store, 1, [event({ seq: 2, prev: hash('x') })]))).toBe('PAM_AUDIT_SEQUENCE');
      const forked = store.together((t) => [
        t.identity.writeSetting({ key: 'effect', value: 'done' }),
        t.audit.appendEvents({ router: hash('r'), start: 1, events: [event({ seq: 3, prev: hash('a1') })] }),
      ]);
      expect(await codeOf(forked)).toBe('PAM_AUDIT_SEQUENCE');
      expect(await store.identity.readSetting({ key: 'effect' })).toBeNull();
      await append(store, 1, [event({ seq: 2, prev: hash('a1') })]);
      expect(await store.audit.headOfActor({ actor: 'anna' })).toEqual({ seq: 2, hash: hash('a2') });
    });

    on('pages over starts in both directions', async () => {
      const store = await engine.fresh();
      await append(store, 5, [event(null), event(null)]);
      await append(store, 9, [event(null)]);
      const at = async (start: number, after: number, order: 'oldest' | 'newest'): Promise<string[]> => {
        const page = await store.audit.listEvents({ start, after, limit: 2, order });
        return page.events.map((row) => `${row.start}/${row.seq}`).concat(page.more ? ['more'] : []);
      };
      expect(await at(0, 0, 'oldest')).toEqual(['5/1', '5/2', 'more']);
      expect(await at(5, 2, 'oldest')).toEqual(['9/1']);
      expect(await at(0, 0, 'newest')).toEqual(['9/1', '5/2', 'more']);
      expect(await at(5, 2, 'newest')).toEqual(['5/1']);
    });
  });

  describe('slots and tokens', () => {
    const withGateway = async (maxInstances: number): Promise<Store> => {
      const store = await engine.fresh();
      const token = { lookup: 'lookup', blob: 'blob', expiresAtMs: nowMs + 60_000 };
      await store.pool.createGateway({ uid: gatewayUid(), app: appUid(), maxInstances, token, nowMs });
      return store;
    };
    const gateway = gatewayUid();
    const slots = (snapshot: PoolSnapshot | null): string[] =>
      (snapshot?.members ?? []).filter((m) => m.membership === 'slot').map((m) => m.instance.replaceAll('_', ''));

    on('admits to the maximum, whatever races', async () => {
      const store = await withGateway(3);
      const names = Array.from({ length: 40 }, (_, i) => `i${i}`);
      const answers = await Promise.all(names.map((name) => store.pool.admit(join(name))));
      const kinds = answers.map((answer) => answer?.outcome.kind);
      expect(kinds.filter((kind) => kind === 'slot')).toHaveLength(3);
      expect(kinds.filter((kind) => kind === 'standby')).toHaveLength(16);
      expect(kinds.filter((kind) => kind === 'line-full')).toHaveLength(21);
      expect(slots(await store.pool.readPool({ gateway }))).toHaveLength(3);
    });

    on('an admission answers the row it changed and the version it follows on, however large the pool', async () => {
      const store = await withGateway(30);
      let version = (await store.pool.readPool({ gateway }))?.gateway.version ?? 0;
      for (let i = 0; i < 30; i += 1) {
        const answer = await store.pool.admit(join(`i${i}`));
        expect(answer?.delta).toMatchObject({ follows: version, gateway: { version: version + 1 } });
        expect(answer?.delta.changed.map((row) => row.instance)).toEqual([instanceId(`i${i}`)]);
        version += 1;
      }
    });

    on('decides over what was committed, also right behind a decision that was undone', async () => {
      const store = await withGateway(2);
      await store.pool.admit(join('a'));
      const undone = (name: string): Promise<string> =>
        codeOf(
          store.together(
            (t) => [t.pool.admit(join(name)), t.pool.removeGateway({ uid: gatewayUid('other'), nowMs })] as const,
          ),
        );
      const [first, b, second, c] = await Promise.all([
        undone('x'),
        store.pool.admit(join('b')),
        undone('y'),
        store.pool.admit(join('c')),
      ]);
      expect([first, second]).toEqual(['PAM_NOT_FOUND', 'PAM_NOT_FOUND']);
      // Which of the two came first is the engine's affair.
      expect([b?.outcome.kind, c?.outcome.kind].toSorted()).toEqual(['slot', 'standby']);
      expect(await undone('z')).toBe('PAM_NOT_FOUND');
      expect((await store.pool.admit(join('d')))?.outcome).toMatchObject({ kind: 'standby', position: 2 });
      const members = (await store.pool.readPool({ gateway }))?.members ?? [];
      expect(members.map((row) => row.instance).toSorted()).toEqual(['a', 'b', 'c', 'd'].map(instanceId));
    });

    on('keeps seq and epoch of a slot over a rejoin, and gives new ones after a loss', async () => {
      const store = await withGateway(1);
      const before = (await store.pool.admit(join('a')))?.outcome;
      expect((await store.pool.admit(join('a')))?.outcome).toEqual(before);
      if (before?.kind !== 'slot') throw new Error('no slot');
      const ref = { instance: instanceId('a'), seq: before.seq, epoch: before.epoch, hellos: 2 };
      for (const stale of [
        { ...ref, epoch: 0 },
        { ...ref, hellos: 1 },
      ]) {
        await store.pool.leave({ gateway, members: [stale], reason: 'lost', nowMs });
      }
      expect((await store.pool.admit(join('a')))?.outcome).toEqual(before);
      await store.pool.leave({ gateway, members: [{ ...ref, hellos: 3 }], reason: 'lost', nowMs });
      const after = (await store.pool.admit(join('a')))?.outcome;
      expect(after).toMatchObject({ kind: 'slot', seq: before.seq + 1, epoch: before.epoch + 1 });
    });

    on('displaces the absent for those who wait, and puts them at the head when they return', async () => {
      const store = await withGateway(2);
      for (const name of ['a', 'b', 'c', 'd']) await store.pool.admit(join(name));
      const [a] = (await store.pool.readPool({ gateway }))?.members ?? [];
      if (a === undefined) throw new Error('nobody');
      const waiting = [instanceId('c'), instanceId('d')];
      const before = (await store.pool.readPool({ gateway }))?.gateway.version ?? 0;
      const delta = await store.pool.reclaim({ gateway, absent: [a], waiting, nowMs });
      expect(delta).toMatchObject({ follows: before, gateway: { version: before + 1 } });
      expect(delta?.changed.map((row) => `${row.instance.replaceAll('_', '')} ${row.membership}`)).toEqual([
        'a gone',
        'c slot',
      ]);
      expect(slots(await store.pool.readPool({ gateway }))).toEqual(['b', 'c']);
      expect((await store.pool.admit(join('a')))?.outcome).toMatchObject({ kind: 'standby', position: 1 });
      expect((await store.pool.admit(join('d')))?.outcome).toMatchObject({ kind: 'standby', position: 2 });
    });

    on('lowers the maximum without stopping anybody, and then takes nobody in', async () => {
      const store = await withGateway(3);
      for (const name of ['a', 'b', 'c', 'd']) await store.pool.admit(join(name));
      const answer = await store.pool.setMaximum({ gateway, maxInstances: 1, nowMs });
      expect([answer?.before, answer?.admitted]).toEqual([3, 3]);
      expect(slots(answer?.snapshot ?? null)).toEqual(['a', 'b', 'c']);
      const [a] = answer?.snapshot.members ?? [];
      if (a === undefined) throw new Error('nobody');
      const waiting = [instanceId('d')];
      expect((await store.pool.reclaim({ gateway, absent: [a], waiting, nowMs }))?.changed).toEqual([]);
      expect(slots(await store.pool.readPool({ gateway }))).toEqual(['a', 'b', 'c']);
      await store.pool.setMaximum({ gateway, maxInstances: 4, nowMs });
      expect((await store.pool.fill({ gateway, waiting, nowMs }))?.changed).toHaveLength(1);
      expect(slots(await store.pool.readPool({ gateway }))).toEqual(['a', 'b', 'c', 'd']);
    });

    on('keeps a cordon over a loss and a rejoin, and never takes a drain back', async () => {
      const store = await withGateway(2);
      await store.pool.admit(join('a'));
      const cordoned = await store.pool.setIntent({
        gateway,
        instance: instanceId('a'),
        intent: { kind: 'cordon' },
        nowMs,
      });
      const [a] = cordoned?.members ?? [];
      if (a === undefined) throw new Error('nobody');
      await store.pool.leave({ gateway, members: [a], reason: 'lost', nowMs });
      await store.pool.admit(join('a'));
      expect((await store.pool.readPool({ gateway }))?.members[0]?.intent).toEqual({ kind: 'cordon' });
      const drain = { kind: 'drain', by: 'operator', deadlineAtMs: nowMs } as const;
      await store.pool.admit(join('b'));
      await store.pool.setIntent({ gateway, instance: instanceId('b'), intent: drain, nowMs });
      const back = store.pool.setIntent({ gateway, instance: instanceId('b'), intent: { kind: 'serve' }, nowMs });
      expect(await codeOf(back)).toBe('PAM_CONFLICT');
      const nobody = store.pool.setIntent({ gateway, instance: instanceId('x'), intent: drain, nowMs });
      expect(await codeOf(nobody)).toBe('PAM_NOT_FOUND');
    });

    on('revokes everybody of a removed gateway, and admits nobody after', async () => {
      const store = await withGateway(1);
      await store.pool.admit(join('a'));
      await store.pool.admit(join('b'));
      expect((await store.pool.removeGateway({ uid: gateway, nowMs })).map((id) => id)).toEqual(
        ['a', 'b'].map(instanceId),
      );
      expect(await store.pool.admit(join('c'))).toBeNull();
      expect(await store.pool.readPools({})).toEqual([]);
      expect(await codeOf(store.pool.removeGateway({ uid: gateway, nowMs }))).toBe('PAM_NOT_FOUND');
    });

    on('a rekeyed gateway keeps its name and maximum, and loses members and tokens', async () => {
      const store = await withGateway(2);
      await store.pool.admit(join('a'));
      await store.pool.admit(join('b'));
      const { gone, snapshot } = await store.pool.rekeyGateway({ uid: gateway, nowMs });
      expect(gone).toEqual(['a', 'b'].map(instanceId));
      expect(snapshot).toMatchObject({ gateway: { uid: gateway, maxInstances: 2 }, members: [] });
      expect(await store.pool.readPool({ gateway })).toEqual(snapshot);
      expect(await store.pool.redeemToken({ lookup: 'lookup', redeemer: 'a', nowMs })).toEqual({ kind: 'unknown' });
      expect((await store.pool.admit(join('c')))?.outcome).toMatchObject({ kind: 'slot' });
      expect(await codeOf(store.pool.rekeyGateway({ uid: 'Unknown0000000000000000' as never, nowMs }))).toBe(
        'PAM_NOT_FOUND',
      );
    });

    on('forgets the wraps of one recipient and of nobody else', async () => {
      const store = await withGateway(1);
      const wrap = { app: 'App0000000000000000000' as never, part: 'facts', gen: 1, wrap: 'w'.repeat(32) } as const;
      const [old, kept] = ['o'.repeat(43), 'k'.repeat(43)];
      await store.vault.putWraps({
        wraps: [
          { ...wrap, recipient: old },
          { ...wrap, recipient: kept },
        ],
      });
      await store.vault.dropWraps({ recipient: old });
      const left = await store.vault.listWraps({ recipients: [old, kept] });
      expect(left.map((each) => each.recipient)).toEqual([kept]);
    });

    on('gives a token to one redeemer, until it acknowledges', async () => {
      const store = await withGateway(1);
      const redeem = (redeemer: string, at = nowMs) =>
        store.pool.redeemToken({ lookup: 'lookup', redeemer, nowMs: at });
      expect(await redeem('a', nowMs + 60_000)).toEqual({ kind: 'expired' });
      const race = await Promise.all(['a', 'b', 'c', 'd'].map((redeemer) => redeem(redeemer)));
      expect(race.filter((answer) => answer.kind === 'blob')).toHaveLength(1);
      const winner = ['a', 'b', 'c', 'd'][race.findIndex((answer) => answer.kind === 'blob')] ?? '';
      expect(await redeem(winner)).toEqual({ kind: 'blob', gateway, blob: 'blob' });
      const acknowledge = (redeemer: string) => store.pool.acknowledgeToken({ lookup: 'lookup', redeemer, nowMs });
      expect(await codeOf(acknowledge('stranger'))).toBe('PAM_TOKEN_USED');
      await acknowledge(winner);
      await acknowledge(winner);
      expect(await redeem(winner)).toEqual({ kind: 'used' });
      expect(await store.pool.redeemToken({ lookup: 'none', redeemer: 'a', nowMs })).toEqual({ kind: 'unknown' });
    });

    on('keeps what an instance said of itself', async () => {
      const store = await withGateway(1);
      await store.pool.admit(join('a'));
      const [row] = (await store.pool.readPool({ gateway }))?.members ?? [];
      expect(row).toMatchObject({ host, version: '0.1.0', address: '127.0.0.1', connectedAtMs: nowMs });
    });
  });

  on('keeps everything over a close, and does its migrations once', async () => {
    const place = await engine.freshPlace();
    const first = await engine.open(place);
    await first.identity.writeSetting({ key: 'k', value: 'v' });
    await first.close();
    const again = await engine.open(place);
    expect(await again.identity.readSetting({ key: 'k' })).toBe('v');
    expect(await again.check()).toEqual([]);
  });
});
