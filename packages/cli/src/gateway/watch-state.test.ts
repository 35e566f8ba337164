import { type InstanceView, PamError } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { changesBetween, changeText } from './gateway-changes.ts';
import type { NamedGateway } from './gateway-rows.ts';
import { fitScreen } from './watch-gateways.ts';
import { isPassing, newWatchState, stepWatch, type WatchState, watchJson, watchText } from './watch-state.ts';

const atMs = Date.UTC(2026, 10, 23, 14, 2, 11);
const options = { verbose: true, online: false, everyMs: 2_000 };
type Shown = readonly [id: string, state: InstanceView['state'], beatMs?: number];

function gateway(instances: readonly Shown[], title = 'dc1'): NamedGateway {
  const views = instances.map(([instanceId, state, beatMs = 0]) => ({
    ...{ instanceId, state, health: 'ok' as const, reason: '', deviceName: 'vm', os: 'linux', osVersion: '12' },
    ...{
      arch: 'x64',
      machineType: 'x86_64',
      gatewayVersion: '0.1.0',
      ipAddress: '10.0.0.9',
      maxStreams: null,
      drain: null,
    },
    ...{ connectedOnMs: atMs, sinceMs: atMs, lastHeartbeatMs: atMs + beatMs, streams: beatMs },
  }));
  const view = { maxInstances: 3, createdAtMs: atMs, modifiedAtMs: atMs, everConnected: true, instances: views };
  return { uid: `G-${title}`, title, appUid: 'A', appTitle: 'prod', view };
}
const see = (state: WatchState, gateways: readonly NamedGateway[], nowMs = atMs): ReturnType<typeof stepWatch> =>
  stepWatch(state, { kind: 'seen', gateways }, nowMs);
const down = new PamError('PAM_ROUTER_UNREACHABLE', 'no router answers at pam.example:7443');

test('what changed is told in words: status, state, who came and who went; beats and streams are no change', () => {
  const before = [
    gateway([
      ['i1', 'ready'],
      ['i2', 'ready'],
    ]),
  ];
  const after = [
    gateway([
      ['i1', 'suspect'],
      ['i3', 'ready'],
    ]),
  ];
  expect(changesBetween(before, after).map(changeText)).toEqual([
    'dc1: ONLINE (2/3) → DEGRADED (2/3, 1 suspect)',
    'dc1 i1: ready → suspect',
    'dc1 i3: new, ready',
    'dc1 i2: gone (was ready)',
  ]);
  expect(
    changesBetween(before, [
      gateway([
        ['i1', 'ready', 999],
        ['i2', 'ready', 7],
      ]),
    ]),
  ).toEqual([]);
});

test('a look is compared with the last one that was answered, however long the router was away between', () => {
  const views = fc.array(
    fc.tuple(fc.constantFrom('i1', 'i2', 'i3'), fc.constantFrom<InstanceView['state']>('ready', 'suspect')),
    {
      maxLength: 3,
    },
  );
  const unique = views.map((list) => [...new Map(list.map((each) => [each[0], each])).values()]);
  fc.assert(
    fc.property(fc.array(fc.option(unique)), (looks) => {
      let state = newWatchState;
      let last: readonly NamedGateway[] | null = null;
      for (const look of looks) {
        if (look === null) {
          state = stepWatch(state, { kind: 'failed', error: down }, atMs).state;
          expect(state.gateways).toBe(last);
          continue;
        }
        const now = [gateway(look)];
        const step = see(state, now);
        expect(step.changes).toEqual(last === null ? [] : changesBetween(last, now));
        [state, last] = [step.state, now];
      }
    }),
  );
});

test('while the router is away the list stays, with its age and for how long it has been away', () => {
  const known = see(newWatchState, [gateway([['i1', 'ready']])]).state;
  let { state } = stepWatch(known, { kind: 'failed', error: down }, atMs + 3_000);
  ({ state } = stepWatch(state, { kind: 'failed', error: down }, atMs + 33_000));
  const text = watchText(state, atMs + 40_000, options);
  expect(text).toMatch(/the router is away since 37 s, what is shown is 40 s old: no router answers/);
  expect(text).toContain('dc1');
  expect(JSON.parse(watchJson(state, [], atMs + 40_000, options))).toMatchObject({
    ...{
      router: 'away',
      age_seconds: 40,
      error: { code: 'PAM_ROUTER_UNREACHABLE' },
      gateways: [{ gateway_name: 'dc1' }],
    },
  });
  expect(see(state, [gateway([])]).state.away).toBeNull();
});

test('a router that was never seen is said to be away, and nothing is made up', () => {
  const { state } = stepWatch(newWatchState, { kind: 'failed', error: down }, atMs);
  expect(watchText(state, atMs, options)).toMatch(/nothing is known yet/);
  expect(JSON.parse(watchJson(state, [], atMs, options))).toMatchObject({
    gateways: null,
    as_of: null,
    age_seconds: null,
  });
});

test('rows that changed are marked, and not for ever', () => {
  const first = see(newWatchState, [
    gateway([
      ['i1', 'ready'],
      ['i2', 'ready'],
    ]),
  ]).state;
  const { state } = see(
    first,
    [
      gateway([
        ['i1', 'ready'],
        ['i2', 'draining'],
      ]),
    ],
    atMs + 2_000,
  );
  const marks = (nowMs: number): string[] =>
    watchText(state, nowMs, options)
      .split('\n')
      .filter((line) => line.startsWith('*'));
  expect(marks(atMs + 3_000).map((line) => /i2|G-dc1/.exec(line)?.[0])).toEqual(['G-dc1', 'i2']);
  expect(marks(atMs + 60_000)).toEqual([]);
});

test('what is drawn fits the screen: nothing scrolls, long lines are cut, and nothing in a name steers it', () => {
  const rows = 6;
  const names = fc.string({ unit: 'binary', maxLength: 80 });
  fc.assert(
    fc.property(fc.array(names, { maxLength: 20 }), (titles) => {
      const { state } = see(
        newWatchState,
        titles.map((title) => gateway([['i1', 'ready']], title)),
      );
      const drawn = fitScreen(watchText(state, atMs, options), rows);
      expect(drawn.split('\n').length).toBeLessThanOrEqual(rows);
      expect([drawn.startsWith('\u001b[?7l'), drawn.endsWith('\u001b[?7h')]).toEqual([true, true]);
      expect(drawn.replaceAll(/\u001b\[(?:\?7l|H|K|J|\?7h)/g, '')).not.toContain('\u001b');
    }),
  );
});

test('a sign-in that has ended is no router that is away', () => {
  expect(isPassing(down)).toBe(true);
  expect(isPassing(new PamError('PAM_NOT_SIGNED_IN', 'sign in'))).toBe(false);
});
