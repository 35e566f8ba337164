import type { Refused, StoredJob } from '../../../rotation/index.ts';
import { type Act, all, prepared, type Queries, run } from '../../act.ts';
import { isRunning } from '../job-states.ts';
import { refused } from './refused.ts';

/** A job that finds its server at work waits this long; it is woken when a place is free. */
const serverBusyMs = 5_000;

/** Takes the server's row, so that its claims come one by one; on SQLite every transaction that writes does. */
export function* lockServer(q: Queries, server: string): Act<void> {
  if (q.engine === 'sqlite') return;
  yield* run(
    q.db
      .insertInto('job_server')
      .values({ server, claims: 1 })
      .onConflict((on) => on.column('server').doUpdateSet((of) => ({ claims: of('job_server.claims', '+', 1) }))),
  );
}

const runningAt = prepared((db, of: { server: string; but: string }) =>
  db
    .selectFrom('job')
    .select(['due_ms', 'instance'])
    .where('server', '=', of.server)
    .where('state', '=', isRunning)
    .where('id', '<>', of.but),
);

/** Jobs that run at this server now: those of schedules, and those of one instance. */
export function* countAtServer(
  q: Queries,
  server: string,
  instance: string,
  but: string,
): Act<{ scheduled: number; here: number }> {
  const rows = yield* all(runningAt(q, { server, but }));
  return {
    scheduled: rows.filter((row) => row.due_ms !== null).length,
    here: rows.filter((row) => row.instance === instance).length,
  };
}

/** Lets the job wait for a place at its server. */
export function* waitFor(q: Queries, job: StoredJob, server: string, nowMs: number): Act<Refused> {
  const waits = { state: 'waiting', why: 'target-busy', not_before_ms: nowMs + serverBusyMs, server } as const;
  yield* run(q.db.updateTable('job').set(waits).where('id', '=', job.id));
  return refused('PAM_JOB_BUSY', 'the server has as many jobs as it may have at once');
}
