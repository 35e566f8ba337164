import { expect, test } from 'vitest';
import { drive, type Rows } from '../act.ts';
import { queriesFor } from '../queries.ts';
import { sessionActs } from './session-acts.ts';

const id = 'S'.repeat(22);
const person = 'P'.repeat(22);
const session = { id, person, device: 'D'.repeat(43), gateway: id, resource: id, workload: 'tunnel' };
const alive = { ...session, started_ms: 1, touched_ms: 1, ended_ms: null, reason: null, words: '' };
const stream = { state: 'open', instance: null, session: id, person };
const row = (one: object): Rows => ({ rows: [one], affected: 0 });
const none: Rows = { rows: [], affected: 0 };

/** PostgreSQL shows what was committed before each statement: another connection's end can come between two of them. */
function kill(looks: readonly Rows[]): void {
  const answers = [...looks];
  const input = { id, by: null, words: 'by anna', nowMs: 2 };
  drive(sessionActs.killSession(queriesFor('postgres'), input), () => answers.shift() ?? none);
}

test.each([
  ['session', [row(alive)]],
  ['stream', [none, row(stream)]],
] as const)('a kill changes nothing of a %s whose end was written after it looked', (what, looks) => {
  expect(() => kill(looks)).toThrow(`the ${what} ${id} has ended`);
});
