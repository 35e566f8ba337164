import type { StoredJob } from '../../../rotation/index.ts';
import { type Act, all, prepared, type Queries, run } from '../../act.ts';
import { isWaiting } from '../job-states.ts';
import { settleTrouble } from '../trouble-acts.ts';

/** Of those that wait for a place at a server, so many are woken by one: it may be another instance that has the place. */
const wokenByOne = 4;

const dropAnswers = prepared((db, of: { job: string }) => db.deleteFrom('job_answer').where('job', '=', of.job));

const forPlace = prepared((db, of: { server: string; nowMs: number; most: number }) =>
  db
    .selectFrom('job')
    .select('id')
    .where('server', '=', of.server)
    .where('state', '=', isWaiting)
    .where('why', '=', 'target-busy')
    .where('not_before_ms', '>', of.nowMs)
    .orderBy('created_ms')
    .orderBy('id')
    .limit(of.most),
);

const forAccount = prepared((db, of: { server: string; nowMs: number }) =>
  db
    .selectFrom('job')
    .select('id')
    .where('server', '=', of.server)
    .where('state', '=', isWaiting)
    .where('why', '=', 'account-busy')
    .where('not_before_ms', '>', of.nowMs),
);

/** A place at the server is free, perhaps the account: who waits for one of them may begin. */
export function* afterHold(q: Queries, job: StoredJob, ended: boolean, nowMs: number): Act<void> {
  if (ended) {
    yield* run(dropAnswers(q, { job: job.id }));
    yield* settleTrouble(q, job, nowMs);
  }
  const { server } = job;
  if (server === null) return;
  const places = yield* all(forPlace(q, { server, nowMs, most: wokenByOne }));
  const accounts = yield* all(forAccount(q, { server, nowMs }));
  const woken = [...places, ...accounts].map(({ id }) => id);
  if (woken.length === 0) return;
  yield* run(q.db.updateTable('job').set({ not_before_ms: nowMs }).where('id', 'in', woken));
}
