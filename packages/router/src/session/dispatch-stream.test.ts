import { type Decision, type InstanceId, type LinkResult, PamError } from '@sallyport/protocol';
import { createFakeClock, settle } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { gatewayUid, instanceId, itemUid, sessionId, streamId } from '../../test/store/samples.ts';
import { dispatchStream, type Placed } from './dispatch-stream.ts';

const hedgeMs = 400;
const deadlineMs = 8_000;

/** What one instance does with a dispatch, and after how long. */
interface Behaviour {
  readonly does: 'accept' | 'draining' | 'full' | 'old-epoch' | 'denied' | 'close' | 'nothing';
  readonly afterMs: number;
}

/** Places one stream in a pool of instances that behave as told; keeps all that was done. */
async function place(behaviours: readonly Behaviour[]) {
  const clock = createFakeClock();
  const seen = {
    decided: [] as Decision[],
    asked: [] as { id: InstanceId; atMs: number; ticket: string; match: string }[],
    hedged: [] as InstanceId[],
    released: [] as InstanceId[],
    forgotten: [] as string[],
    told: [] as string[],
  };
  const left = behaviours.map((_, n) => instanceId(`i${n}`));
  const matches = new Map<string, string>();
  let tickets = 0;
  const placing = dispatchStream(
    {
      gateway: gatewayUid(),
      session: sessionId('s'),
      stream: streamId('stream'),
      resource: itemUid('web'),
      not: [],
      send: ({ link, ticket }) => {
        const { does, afterMs } = behaviours[Number(link.slice(1))] ?? { does: 'nothing', afterMs: 0 };
        seen.asked.push({ id: instanceId(link), atMs: clock.monotonicMs(), ticket, match: matches.get(ticket) ?? '' });
        return new Promise((resolve, reject) => {
          clock.after(afterMs, () => {
            if (does === 'accept') resolve({ kind: 'accepted' });
            else if (does === 'close') reject(new PamError('PAM_LEG_FAILED', 'closed'));
            else if (does !== 'nothing') resolve(refusal(does));
          });
        });
      },
      forget: ({ ticket }) => seen.told.push(ticket),
    },
    {
      pool: {
        route: ({ not, cause }) => {
          const pick = left.find((id) => !not.includes(id)) ?? null;
          const decision: Decision = { atMs: clock.monotonicMs(), cursorBefore: -1, candidates: [], pick, cause };
          if (pick === null) return { decision, picked: null };
          const link = pick.replaceAll('_', '');
          return { decision, picked: { instance: pick, link, epoch: 1, probe: false } };
        },
        hedged: (_gateway, instance) => seen.hedged.push(instance),
        heard: (word, { instance }) => {
          if (word === 'released') seen.released.push(instance);
        },
      },
      expect: async (match, _client, ticket) => void matches.set(ticket, match),
      bindParked: () => false,
      forgetLegs: (match) => seen.forgotten.push(match),
      newTicket: () => `ticket-${++tickets}`,
      after: clock.after,
      decided: (decision) => seen.decided.push(decision),
      hedgeMs,
      deadlineMs,
    },
  );
  let outcome: Placed | PamError | null = null;
  placing.then(
    (placed) => (outcome = placed),
    (error: PamError) => (outcome = error),
  );
  await settle();
  for (let passed = 0; passed <= deadlineMs && outcome === null; passed += 100) await clock.advance(100);
  return { seen, outcome: outcome as Placed | PamError | null, tookMs: clock.monotonicMs() };
}

function refusal(kind: 'draining' | 'full' | 'old-epoch' | 'denied'): LinkResult<'stream.dispatch'> {
  const code = kind === 'denied' ? 'PAM_TARGET_NOT_ALLOWED' : 'PAM_DISPATCH_REFUSED';
  return { kind: 'refused', class: kind, error: { code, message: kind, remedy: 'x', detail: {} } };
}

const behaviour: fc.Arbitrary<Behaviour> = fc.record({
  does: fc.constantFrom('accept', 'draining', 'full', 'old-epoch', 'denied', 'close', 'nothing'),
  // Never at the same moment as the hedge or a step of the clock: which of two comes first is not the question here.
  afterMs: fc.integer({ min: 0, max: 24 }).map((n) => n * 50 + 7),
});

test('whatever instances do: one outcome, each asked once, losers are void, only the silent are suspect', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(behaviour, { maxLength: 6 }), async (behaviours) => {
      const { seen, outcome, tookMs } = await place(behaviours);
      expect(outcome).not.toBeNull();
      expect(new Set(seen.asked.map(({ id }) => id)).size).toBe(seen.asked.length);
      // D1: every pick, and the last one that found nobody, is on record.
      expect(seen.decided.flatMap(({ pick }) => pick ?? [])).toEqual(seen.asked.map(({ id }) => id));
      const winner = outcome instanceof PamError ? null : outcome?.instance;
      const losers = seen.asked.filter(({ id }) => id !== winner);
      // D3: whoever did not win has no ticket any more, and was not marked as on its way.
      expect(new Set(seen.forgotten)).toEqual(new Set(losers.map(({ match }) => match)));
      expect(new Set(seen.released)).toEqual(new Set(losers.map(({ id }) => id)));
      const of = (id: InstanceId): Behaviour => behaviours[seen.asked.findIndex((each) => each.id === id)] as Behaviour;
      // F22: a refusal or a closed link within the hedge time marks nobody.
      for (const id of seen.hedged) expect(of(id).does === 'nothing' || of(id).afterMs > hedgeMs).toBe(true);
      // D2: nobody is asked after a denial.
      const denied = seen.asked.filter(
        ({ id, atMs }) => of(id).does === 'denied' && atMs + of(id).afterMs < tookMs - 100,
      );
      if (denied.length > 0) expect(outcome).toBeInstanceOf(PamError);
      // The silent ones that lost are told to forget it.
      const silent = losers.filter(({ id }) => of(id).does === 'nothing');
      for (const { ticket } of silent) expect(seen.told).toContain(ticket);
      if (winner !== null && winner !== undefined) expect(of(winner).does).toBe('accept');
    }),
    { numRuns: 150 },
  );
});

test('a silent instance is hedged after H, and the next pick is on record as a hedge', async () => {
  const { seen, outcome } = await place([
    { does: 'nothing', afterMs: 0 },
    { does: 'accept', afterMs: 7 },
  ]);
  expect(seen.asked.map(({ atMs }) => atMs)).toEqual([0, hedgeMs]);
  expect(seen.decided.map(({ cause }) => cause)).toEqual(['first', 'hedge']);
  expect(seen.hedged).toEqual([instanceId('i0')]);
  expect(outcome).toMatchObject({ instance: instanceId('i1'), attempt: 2 });
});

test('one that was passed over and answers first wins after all; the other is told to forget', async () => {
  const { seen, outcome } = await place([
    { does: 'accept', afterMs: hedgeMs + 57 },
    { does: 'accept', afterMs: 900 },
  ]);
  expect(outcome).toMatchObject({ instance: instanceId('i0') });
  expect(seen.told).toEqual([seen.asked[1]?.ticket]);
});

test.each(['draining', 'full', 'old-epoch', 'close'] as const)(
  'an instance that says %s marks nobody, and the next is asked at once',
  async (does) => {
    const { seen, outcome } = await place([
      { does, afterMs: 7 },
      { does: 'accept', afterMs: 7 },
    ]);
    expect(seen.asked.map(({ atMs }) => atMs)).toEqual([0, 7]);
    expect(seen.hedged).toEqual([]);
    expect(outcome).toMatchObject({ instance: instanceId('i1') });
  },
);
