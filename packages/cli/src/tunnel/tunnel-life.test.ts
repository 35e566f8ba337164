import { PamError } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Kept,
  newTunnelLife,
  stepTunnelLife,
  type TunnelLife,
  type TunnelLifeEffect,
  type TunnelLifeEvent,
  tunnelTimes,
  tunnelWakeAtMs,
} from './tunnel-life.ts';

const hourMs = 3_600_000;
const at = (monotonicMs: number, wallMs = monotonicMs) => ({ monotonicMs, wallMs, random: 0.5 });
const ok: Kept = { kind: 'ok' };
const away: Kept = { kind: 'away' };
const signedOut: Kept = { kind: 'signed-out' };
const impostor: Kept = { kind: 'impostor' };

/** Plays events at times; answers the state and every effect in words. */
function play(
  steps: readonly (readonly [number, TunnelLifeEvent, number?])[],
  from: TunnelLife = newTunnelLife(12 * hourMs, at(0)),
) {
  let state = from;
  const said: string[] = [];
  for (const [ms, event, wall] of steps) {
    const step = stepTunnelLife(state, event, at(ms, wall));
    state = step.state;
    said.push(...step.effects.map(wordOf));
  }
  return { state, said };
}
const wordOf = (effect: TunnelLifeEffect): string =>
  'id' in effect ? `${effect.kind} ${effect.id}` : effect.kind === 'say' ? `say ${effect.what}` : effect.kind;
const connection = (id: number): TunnelLifeEvent => ({ kind: 'connection', id });

test('a tunnel whose sign-in ended refuses at once, says so once, and goes on after the next sign-in', () => {
  const end = 12 * hourMs;
  const near = newTunnelLife(end, at(end - 1_000));
  const { state, said } = play(
    [
      [end + 1, connection(1)],
      [end + 2, { kind: 'looked', found: false }],
      [end + 3, connection(2)],
      [end + 2_002, { kind: 'tick' }],
      [end + 2_003, { kind: 'looked', found: true }],
      [end + 2_050, { kind: 'renewed', result: ok, signInEndsAtMs: 2 * end }],
      [end + 2_060, connection(3)],
    ],
    near,
  );
  expect(said).toEqual([
    ...['look', 'say signed-out', 'refuse 1', 'refuse 2'],
    ...['look', 'renew', 'say signed-in', 'carry 3'],
  ]);
  expect(state.signInEndsAtMs).toBe(2 * end);
});

test('a sign-in made before the old one ended is taken over without a word', () => {
  const { said } = play([
    [30_000, { kind: 'tick' }],
    [30_010, { kind: 'touched', result: signedOut }],
    [30_020, { kind: 'looked', found: true }],
    [30_030, { kind: 'renewed', result: ok, signInEndsAtMs: 20 * hourMs }],
    [30_040, connection(1)],
  ]);
  expect(said).toEqual(['touch', 'look', 'renew', 'carry 1']);
});

test('after the machine slept, the first connection waits until the router was asked', () => {
  const wokeAtMs = 8 * hourMs;
  const { said } = play([
    [10_000, { kind: 'tick' }],
    [10_500, connection(1), wokeAtMs],
    [10_600, connection(2), wokeAtMs + 100],
    [10_700, { kind: 'touched', result: ok }, wokeAtMs + 200],
    [10_800, connection(3), wokeAtMs + 300],
  ]);
  expect(said).toEqual(['touch', 'carry 1', 'carry 2', 'carry 3']);
});

test('a machine that slept past the end of its sign-in does not touch the router with it', () => {
  const { said } = play([
    [10_500, connection(1), 13 * hourMs],
    [10_510, { kind: 'looked', found: false }, 13 * hourMs + 10],
    [10_520, connection(2), 13 * hourMs + 20],
  ]);
  expect(said).toEqual(['look', 'say signed-out', 'refuse 1', 'refuse 2']);
});

test('a check that nobody answers holds connections for ten seconds, then lets them try', () => {
  const { said } = play([
    [100, connection(1), hourMs],
    [10_100, { kind: 'tick' }, hourMs + 10_000],
  ]);
  expect(said).toEqual(['touch', 'carry 1']);
});

test('a router that is away is said once, asked again ever more seldom, and its return is said once', () => {
  let state = newTunnelLife(12 * hourMs, at(0));
  const gaps: number[] = [];
  const said: string[] = [];
  let ms = 0;
  for (let round = 0; round < 8; round++) {
    const wakeAtMs = tunnelWakeAtMs(state) ?? 0;
    gaps.push(wakeAtMs - ms);
    ms = wakeAtMs;
    for (const event of [{ kind: 'tick' }, { kind: 'touched', result: round < 7 ? away : ok }] as const) {
      const step = stepTunnelLife(state, event, at(ms));
      state = step.state;
      said.push(...step.effects.map(wordOf));
    }
  }
  expect(gaps).toEqual([30_000, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  expect(said.filter((one) => one.startsWith('say'))).toEqual(['say router-away', 'say router-back']);
});

test('somebody else in the router’s place is said once each time, asked again like a router that is away, and ends nothing', () => {
  const { state, said } = play([
    [30_000, { kind: 'tick' }],
    [30_010, { kind: 'touched', result: away }],
    [40_000, { kind: 'tick' }],
    [40_010, { kind: 'touched', result: impostor }],
    [60_000, { kind: 'tick' }],
    [60_010, { kind: 'touched', result: impostor }],
    [61_000, connection(1)],
    [95_000, { kind: 'tick' }],
    [95_010, { kind: 'touched', result: ok }],
    [126_000, { kind: 'tick' }],
    [126_010, { kind: 'touched', result: impostor }],
  ]);
  expect(said).toEqual([
    ...['touch', 'say router-away', 'touch', 'say router-impostor', 'touch', 'carry 1', 'touch', 'say router-back'],
    ...['touch', 'say router-impostor'],
  ]);
  expect(state.over).toBe(false);
});

test('what an operator decided ends the tunnel, and connections that waited are refused', () => {
  const error = new PamError('PAM_SESSION_ENDED', 'stopped');
  const { said } = play([
    [100, connection(1), hourMs],
    [200, { kind: 'touched', result: { kind: 'ended', error } }, hourMs + 100],
    [300, connection(2), hourMs + 200],
  ]);
  expect(said).toEqual(['touch', 'refuse 1', 'end', 'refuse 2']);
});

const keptArb = fc.constantFrom<Kept>(ok, away, signedOut, impostor);
const eventArb = fc.oneof(
  fc.constant<TunnelLifeEvent>({ kind: 'tick' }),
  fc.constant<TunnelLifeEvent>({ kind: 'connection', id: 0 }),
  fc.constant<TunnelLifeEvent>({ kind: 'signed-out' }),
  fc.record({ kind: fc.constant('answer' as const), kept: keptArb, found: fc.boolean() }),
);

test('whatever happens, it never ends by itself, does one thing at a time, and answers every connection once', () => {
  const steps = fc.array(fc.tuple(fc.nat(20_000), fc.nat(4 * hourMs), eventArb), { maxLength: 80 });
  fc.assert(
    fc.property(steps, (all) => {
      let state = newTunnelLife(12 * hourMs, at(0));
      let [ms, wall] = [0, 0];
      let asked = 0;
      const answers = new Map<number, number>();
      const sayings: string[] = [];
      const take = (event: TunnelLifeEvent) => {
        const { busy } = state;
        const step = stepTunnelLife(state, event, at(ms, wall));
        const began = step.effects.filter((one) => one.kind === 'touch' || one.kind === 'look' || one.kind === 'renew');
        const isFree = busy === null || event.kind === 'looked' || event.kind === 'touched' || event.kind === 'renewed';
        expect(began.length).toBeLessThanOrEqual(isFree ? 1 : 0);
        for (const effect of step.effects) {
          if ('id' in effect) answers.set(effect.id, (answers.get(effect.id) ?? 0) + 1);
          if (effect.kind === 'say') sayings.push(effect.what);
          expect(effect.kind).not.toBe('end');
        }
        state = step.state;
      };
      const answer = (result: Kept, found: boolean) => {
        if (state.busy === 'touch') take({ kind: 'touched', result });
        else if (state.busy === 'look') take({ kind: 'looked', found });
        else if (state.busy === 'renew') take({ kind: 'renewed', result, signInEndsAtMs: wall + 12 * hourMs });
      };
      for (const [gap, sleep, event] of all) {
        ms += gap;
        wall += gap + (sleep > 2 * hourMs ? sleep : 0);
        if (event.kind === 'answer') answer(event.kept, event.found);
        else take(event.kind === 'connection' ? { kind: 'connection', id: asked++ } : event);
      }
      // The edge answers what is under way, time passes: nobody waits any more.
      for (let round = 0; round < 6; round++) {
        answer(ok, true);
        ms += tunnelTimes.holdMs;
        wall += tunnelTimes.holdMs;
        take({ kind: 'tick' });
      }
      expect([...answers.values()].every((times) => times === 1)).toBe(true);
      expect(answers.size).toBe(asked);
      for (const [n, saying] of sayings.entries()) expect(saying).not.toBe(sayings[n - 1]);
    }),
  );
});

test('a killed stream asks the router at once; a killed session ends the tunnel and refuses what waits', () => {
  const killed = new PamError('PAM_SESSION_KILLED', 'the session was ended by anna: audit');
  const stream = play([
    [1_000, { kind: 'killed' }],
    [1_001, { kind: 'killed' }],
    [1_010, { kind: 'touched', result: ok }],
    [1_020, connection(1)],
  ]);
  expect(stream.said).toEqual(['touch', 'carry 1']);
  const session = play([
    [1_000, { kind: 'killed' }],
    [1_010, { kind: 'touched', result: { kind: 'ended', error: killed } }],
    [1_020, connection(1)],
  ]);
  expect(session.said).toEqual(['touch', 'end', 'refuse 1']);
});
