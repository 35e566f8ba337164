import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { InstanceId } from '@sallyport/protocol';
import {
  decideAdmission,
  decideFill,
  decideIntent,
  decideLeave,
  decideReclaim,
  decideSurplus,
  type Intent,
  type MemberRow,
  type PoolChange,
  type PoolRows,
} from '../../src/pool/index.ts';
import { defaultTiming } from '../../src/pool/timing.ts';
import { gatewayUid, host, instanceId } from '../store/samples.ts';
import { World } from './world.ts';

const { reserveMs, graceMs } = defaultTiming;
const drain = { kind: 'drain', by: 'operator', deadlineAtMs: Date.UTC(2026, 0, 3) } as const;

function slot(name: string, seq: number, intent: Intent = { kind: 'serve' }): MemberRow {
  return {
    ...{ gateway: gatewayUid(), instance: instanceId(name), membership: 'slot', goneReason: null, seq, epoch: seq },
    ...{ hellos: 1, intent, host, version: '0.1.0', address: 'a', connectedAtMs: 0, sinceAtMs: 0 },
  };
}

describe('a surplus', () => {
  const members = fc.array(fc.record({ streams: fc.integer({ min: 0, max: 3 }), draining: fc.boolean() }), {
    maxLength: 12,
  });

  test('drains exactly those over the maximum, fewest streams first, then the youngest; who drains counts as gone', () => {
    fc.assert(
      fc.property(members, fc.integer({ min: 1, max: 6 }), (pool, maxInstances) => {
        const rows = pool.map((one, i) => slot(`i${i}`, i, one.draining ? drain : undefined));
        const counts = pool.map((one, i) => ({ instance: instanceId(`i${i}`), streams: one.streams }));
        const read = { maxInstances, nextSeq: 100, nextEpoch: 100, members: rows };
        const { change, drained } = decideSurplus(read, counts, 5_000, 0);
        const staying = pool.map((one, i) => ({ ...one, i })).filter((one) => !one.draining);
        const order = staying.sort((a, b) => a.streams - b.streams || b.i - a.i).map((one) => instanceId(`i${one.i}`));
        expect(drained).toEqual(order.slice(0, Math.max(0, order.length - maxInstances)));
        expect(change.changed.map((row) => row.instance)).toEqual(drained);
        for (const row of change.changed)
          expect(row.intent).toEqual({ kind: 'drain', by: 'surplus', deadlineAtMs: 5_000 });
      }),
    );
  });

  test('whose streams the router does not know has none', () => {
    const rows = { maxInstances: 1, nextSeq: 9, nextEpoch: 9, members: [slot('old', 1), slot('busy', 2)] };
    expect(decideSurplus(rows, [{ instance: instanceId('busy'), streams: 1 }], 1, 0).drained).toEqual([
      instanceId('old'),
    ]);
  });
});

describe('a drain', () => {
  test('keeps the earlier deadline with its cause, and a replacement once asked for', () => {
    const rows = { maxInstances: 1, nextSeq: 9, nextEpoch: 9, members: [slot('x', 1, drain)] };
    const ask = (intent: Intent): unknown => {
      const decided = decideIntent(rows, instanceId('x'), intent, 0);
      return 'refused' in decided ? decided.refused : decided.changed.map((row) => row.intent);
    };
    expect(ask({ ...drain, deadlineAtMs: drain.deadlineAtMs + 1 })).toEqual([]);
    expect(ask({ kind: 'drain', by: 'gateway', deadlineAtMs: 1 })).toEqual([
      { kind: 'drain', by: 'gateway', deadlineAtMs: 1 },
    ]);
    expect(ask({ ...drain, deadlineAtMs: drain.deadlineAtMs + 1, replace: true })).toEqual([
      { ...drain, replace: true },
    ]);
    expect(ask({ kind: 'serve' })).toBe('draining');
  });

  test('with a replacement admits one more until it is gone, and not one longer', () => {
    const world = new World(2);
    const a = world.hello('a');
    const links = [a, world.hello('b'), world.hello('c')];
    world.live(500, links);
    expect(world.slots()).toEqual(['a', 'b']);
    world.intent('a', { ...drain, replace: true });
    world.live(500, links);
    expect(world.slots()).toEqual(['a', 'b', 'c']);
    expect(world.hello('d')).toBeDefined();
    expect(world.row('d')).toBe('standby');
    world.acknowledgeAll();
    expect([world.route().instance, world.route().instance, world.route().instance].sort()).toEqual(['b', 'b', 'c']);
    world.bye('a', a, 'drained');
    world.live(1_000, links.slice(1));
    expect(world.slots()).toEqual(['b', 'c']);
  });

  test('with a replacement leaves no slot behind when its link is lost', () => {
    const world = new World(1);
    const a = world.hello('a');
    const waiting = [world.hello('b'), world.hello('c')];
    world.intent('a', { ...drain, replace: true });
    world.live(500, waiting);
    world.acknowledgeAll();
    expect(world.slots()).toEqual(['a', 'b']);
    world.feed({ kind: 'closed', link: a });
    world.live(reserveMs + 2_000, waiting);
    expect(world.slots()).toEqual(['a', 'b']);
  });

  test('of a standby tells it and cuts its link; the identity that comes back is told again', () => {
    const world = new World(1);
    world.hello('a');
    const b = world.hello('b');
    world.intended.length = 0;
    world.intent('b', drain);
    expect(world.intended).toEqual([{ link: b, intent: { kind: 'drain', by: 'operator', deadlineAtMs: 0 } }]);
    expect(world.cuts).toEqual([{ link: b, why: 'gone' }]);
    world.feed({ kind: 'closed', link: b });
    const answer = world.answers.get(world.hello('b'));
    expect(answer?.kind === 'welcome' ? answer.intent.kind : 'refused').toBe('drain');
  });
});

/** What may befall a member whose intent was set, in any order. */
const trouble = fc.constantFrom('link lost', 'link lost long', 'router killed', 'rejoin', 'quiet', 'standby waits');

describe.each([
  { name: 'cordon', intent: { kind: 'cordon' } as Intent },
  { name: 'drain', intent: drain as Intent },
])('a $name', ({ name, intent }) => {
  test('survives link loss, router kill -9, displacement and rejoin, and is never picked', () => {
    fc.assert(
      fc.property(fc.array(trouble, { maxLength: 10 }), (troubles) => {
        const world = new World(2);
        const first = world.hello('x');
        let x = first;
        let other = world.hello('other');
        let waiting: string[] = [];
        world.live(300, [x, other]);
        world.intent('x', intent);
        const links = (): string[] => [x, other, ...waiting];
        const rejoin = (): void => {
          world.feed({ kind: 'closed', link: x });
          x = world.hello('x');
        };
        for (const what of troubles) {
          switch (what) {
            case 'link lost':
              world.feed({ kind: 'closed', link: x });
              world.live(reserveMs / 2, links().slice(1));
              x = world.hello('x');
              break;
            case 'link lost long':
              world.feed({ kind: 'closed', link: x });
              world.live(reserveMs + 1_500, links().slice(1));
              x = world.hello('x');
              break;
            case 'router killed':
              world.startRouter();
              other = world.hello('other');
              x = world.hello('x');
              waiting = waiting.map(() => world.hello('w'));
              world.live(graceMs + 200, links());
              break;
            case 'rejoin':
              rejoin();
              break;
            case 'standby waits':
              if (waiting.length === 0) waiting = [world.hello('w')];
              break;
            case 'quiet':
              world.live(1_000, links());
              break;
            default:
              return;
          }
          world.acknowledgeAll();
          for (let turn = 0; turn < 4; turn++) expect(world.route().instance).not.toBe('x');
          expect(world.row('x')).toMatch(new RegExp(`^(slot|standby) ${name}$`));
          const answer = world.answers.get(x);
          if (answer?.kind === 'welcome' && x !== first) expect(answer.intent.kind).toBe(name);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('room', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const;
  const who = fc.constantFrom(...names);
  const op = fc.oneof(
    fc.record({ kind: fc.constant('join' as const), who }),
    fc.record({ kind: fc.constant('leave' as const), who }),
    fc.record({ kind: fc.constant('drain' as const), who, replace: fc.boolean() }),
    fc.record({ kind: fc.constant('fill' as const) }),
    fc.record({ kind: fc.constant('reclaim' as const), who }),
    fc.record({ kind: fc.constant('resize' as const), to: fc.integer({ min: 1, max: 4 }), surplus: fc.boolean() }),
  );

  test('no decision admits anybody beyond the maximum and those who are being replaced, in any order (I1)', () => {
    fc.assert(
      fc.property(fc.array(op, { maxLength: 40 }), (ops) => {
        const members = new Map<string, MemberRow>();
        let rows: PoolRows = { maxInstances: 2, nextSeq: 1, nextEpoch: 1, members: [] };
        const slots = (): MemberRow[] => rows.members.filter((row) => row.membership === 'slot');
        const waiting = (): InstanceId[] =>
          rows.members.filter((row) => row.membership === 'standby').map((row) => row.instance);
        const take = (change: PoolChange): void => {
          for (const row of change.changed) members.set(row.instance, row);
          rows = { ...rows, nextSeq: change.nextSeq, nextEpoch: change.nextEpoch, members: [...members.values()] };
        };
        for (const [at, one] of ops.entries()) {
          const before = slots().length;
          const row = 'who' in one ? members.get(instanceId(one.who)) : undefined;
          const ref = row === undefined ? [] : [row];
          switch (one.kind) {
            case 'join': {
              const join = { gateway: gatewayUid(), instance: instanceId(one.who), noStandby: false };
              take(decideAdmission(rows, { ...join, host, version: '0.1.0', address: 'a' }, at).change);
              break;
            }
            case 'leave':
              take(decideLeave(rows, ref, 'stopped', at));
              break;
            case 'drain': {
              const intent: Intent = { ...drain, ...(one.replace ? { replace: true } : {}) };
              const decided = decideIntent(rows, instanceId(one.who), intent, at);
              if (!('refused' in decided)) take(decided);
              break;
            }
            case 'fill':
              take(decideFill(rows, waiting(), at));
              break;
            case 'reclaim':
              take(decideReclaim(rows, ref, waiting(), at));
              break;
            case 'resize':
              rows = { ...rows, maxInstances: one.to };
              if (one.surplus) take(decideSurplus(rows, [], at, at).change);
              break;
            default:
              one satisfies never;
          }
          const replaced = slots().filter(
            (each) => each.intent.kind === 'drain' && each.intent.replace === true,
          ).length;
          if (slots().length > before) expect(slots().length).toBeLessThanOrEqual(rows.maxInstances + replaced);
        }
      }),
      { numRuns: 500 },
    );
  });
});
