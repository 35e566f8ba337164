import { expect, test } from 'vitest';
import { checkRun, type FaultInForce, type RunRecord, type StreamRecord } from './check-run.ts';

const [one, two] = ['10.77.0.4', '10.77.0.5'];
const order = { id: 's1', up: 100, down: 200, bytesPerSecond: 0 };
const sight = { id: 's1', wrongAt: null };
const whole: StreamRecord = {
  order,
  fromMs: 10_000,
  toMs: 12_000,
  user: { ...sight, how: 'fin', received: 200, sent: 100, finAfter: 200 },
  target: [{ ...sight, how: 'fin', received: 100, sent: 200, finAfter: 100, from: one }],
};
const cut: StreamRecord = {
  ...whole,
  user: { ...sight, how: 'ECONNRESET', received: 50, sent: 40, finAfter: null },
  target: [{ ...sight, how: 'ECONNRESET', received: 40, sent: 60, finAfter: null, from: one }],
};
const view = {
  atMs: 20_000,
  maxInstances: 2,
  instances: [
    { id: 'a', state: 'ready', streams: 0 },
    { id: 'b', state: 'ready', streams: 0 },
    { id: 'c', state: 'standby', streams: 0 },
  ],
};
const process = { name: 'router', isRunning: true, descriptors: 40, descriptorsAtFirst: 38 };
const good: RunRecord = {
  faults: [],
  streams: [whole],
  uses: [{ name: 'curl', fromMs: 0, toMs: 1, isServed: true, said: '', carriedBy: null }],
  views: [view],
  holds: [],
  leavings: [],
  clones: [],
  rest: {
    view,
    why: '',
    instances: [
      { id: 'a', membership: 'slot' },
      { id: 'b', membership: 'slot' },
      { id: 'c', membership: 'standby' },
    ],
    processes: [process],
    strangers: [],
  },
};
const fault = (kind: FaultInForce['kind'], address: string | null, fromMs = 11_000): FaultInForce => ({
  ...{ kind, address, fromMs },
  toMs: fromMs + 500,
});
const rules = (run: RunRecord): readonly string[] => checkRun(run).map(({ rule }) => rule);

test('a good run has no violation', () => {
  expect(checkRun(good)).toEqual([]);
});

const rest = (change: Partial<RunRecord['rest']>): RunRecord => ({ ...good, rest: { ...good.rest, ...change } });
const members = (...states: readonly string[]) => ({
  ...view,
  instances: states.map((state, n) => ({ id: 'abcd'[n] ?? '', state, streams: 0 })),
});

const hold = { why: 'cordon', address: two, fromMs: 9_000, toMs: 13_000 } as const;
const twins = { name: 'instance1', original: ['a'], clone: ['a', 'b'], fromMs: 9_000, toMs: 13_000 };

test('what a hold, a surplus that drains and a clone permit is no violation', () => {
  const others = [hold, { ...hold, address: one, fromMs: 10_500 }, { ...hold, address: one, toMs: 11_500 }];
  expect(checkRun({ ...good, holds: others })).toEqual([]);
  const drains = { ...members('ready', 'ready', 'draining'), maxInstances: 2 };
  expect(checkRun({ ...good, views: [drains, { ...view, maxInstances: 3 }] })).toEqual([]);
  expect(checkRun({ ...good, clones: [twins] })).toEqual([]);
  const restarted = { ...good, clones: [{ ...twins, original: ['a', 'c'] }], faults: [fault('router-kill', null)] };
  expect(checkRun(restarted)).toEqual([]);
});

test.each<readonly [string, string, RunRecord]>([
  ['C1', 'more members than the maximum', { ...good, views: [members('ready', 'suspect', 'draining')] }],
  [
    'C1',
    'a member that stays over a lowered maximum',
    {
      ...good,
      views: [
        { ...members('ready', 'ready', 'ready'), maxInstances: 2 },
        { ...view, maxInstances: 3 },
      ],
    },
  ],
  ['C2', 'a wrong byte at the user', { ...good, streams: [{ ...whole, user: { ...whole.user, wrongAt: 7 } }] }],
  [
    'C2',
    'a wrong byte at the target',
    { ...good, streams: [{ ...whole, target: whole.target.map((end) => ({ ...end, wrongAt: 0 })) }] },
  ],
  [
    'C3',
    'a clean end of a cut stream at the target',
    { ...good, streams: [{ ...whole, target: whole.target.map((end) => ({ ...end, received: 9, finAfter: 9 })) }] },
  ],
  ['C4', 'a stream that was cut without a fault', { ...good, streams: [cut] }],
  ['C4', 'a stream cut by a fault of another instance', { ...good, streams: [cut], faults: [fault('kill', two)] }],
  ['C4', 'a stream cut long after a fault', { ...good, streams: [cut], faults: [fault('kill', one, -30_000)] }],
  ['C4', 'a stream cut before a fault', { ...good, streams: [cut], faults: [fault('kill', one, 12_001)] }],
  [
    'C4',
    'a running stream that ended with the router',
    { ...good, streams: [cut], faults: [fault('router-kill', null)] },
  ],
  ['C4', 'a stream cut by a drain', { ...good, streams: [cut], faults: [fault('drain', one)] }],
  [
    'C4',
    'a connection refused because one instance does not reach the target',
    { ...good, streams: [{ ...cut, target: [] }], faults: [fault('no-target', one)] },
  ],
  [
    'C4',
    'a curl that failed',
    { ...good, uses: [{ name: 'curl', fromMs: 0, toMs: 1, isServed: false, said: 'no', carriedBy: null }] },
  ],
  ['C7', 'a stream on a cordoned instance', { ...good, holds: [{ ...hold, address: one }] }],
  ['C8', 'a drained instance that ends with an error', { ...good, leavings: [{ name: 'i', why: 'drain', code: 1 }] }],
  ['C9', 'two processes that stay one', { ...good, clones: [{ ...twins, clone: ['a'] }] }],
  ['C9', 'a clone that takes the identity over', { ...good, clones: [{ ...twins, original: ['a', 'c'] }] }],
  ['C5', 'no rest', rest({ view: null, why: 'late' })],
  ['C5', 'a ghost at the router', rest({ view: members('ready', 'ready', 'standby', 'standby') })],
  ['C5', 'an instance that holds itself for a member', rest({ view: members('ready', 'ready') })],
  ['C5', 'a member that stays suspect', rest({ view: members('ready', 'suspect', 'standby') })],
  [
    'C5',
    'a stream that is over and still listed',
    rest({ view: { ...view, instances: view.instances.map((row) => ({ ...row, streams: row.id === 'a' ? 1 : 0 })) } }),
  ],
  ['C6', 'a process that died', rest({ processes: [{ ...process, isRunning: false }] })],
  ['C6', 'descriptors that were not given back', rest({ processes: [{ ...process, descriptors: 200 }] })],
  ['C6', 'a process that nobody started', rest({ strangers: ['1: node'] })],
])('%s finds %s', (rule, _, run) => {
  expect(new Set(rules(run))).toEqual(new Set([rule]));
});

test('a target sees an end when the instance that dialled it is killed: its kernel says so', () => {
  const target = cut.target.map((end) => ({ ...end, how: 'fin', finAfter: end.received }));
  expect(rules({ ...good, streams: [{ ...cut, target }], faults: [fault('kill', one)] })).toEqual([]);
  expect(rules({ ...good, streams: [{ ...cut, target }], faults: [fault('kill', two)] })).toEqual(['C3', 'C4']);
});

test('a clean end of a cut stream is found whatever explains the cut', () => {
  const user = { ...cut.user, how: 'fin', finAfter: 50 };
  expect(rules({ ...good, streams: [{ ...cut, user }], faults: [fault('kill', one)] })).toEqual(['C3']);
});

test.each<readonly [string, StreamRecord, readonly FaultInForce[]]>([
  ['the death of the instance that carried it', cut, [fault('kill', one)]],
  ['its death just before', cut, [fault('kill', one, 2_000)]],
  [
    'a router that started while its instance was cut off',
    cut,
    [fault('router-kill', null, 10_500), { ...fault('silence', one, 9_000), toMs: 15_000 }],
  ],
  ['a router that was away when it was opened', { ...cut, target: [] }, [fault('router-kill', null)]],
])('a stream cut by %s is explained', (_, stream, faults) => {
  expect(checkRun({ ...good, streams: [stream], faults })).toEqual([]);
});

test('what its user gave up is no failure', () => {
  expect(checkRun({ ...good, streams: [{ ...cut, user: { ...cut.user, how: 'given-up' } }] })).toEqual([]);
});
