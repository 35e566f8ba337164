import type { InstanceId } from '@sallyport/protocol';
import { type AccountRows, type Decision, fencedOff } from '@sallyport/rotation';
import type { Refused } from '../../../rotation/index.ts';
import { type Act, first, prepared, type Queries, run } from '../../act.ts';
import type { Database } from '../../schema.ts';
import { addEntry, addNote } from '../job-rows.ts';
import { type Held, lockRows, saveRows } from './held-rows.ts';
import { refused } from './refused.ts';

type AnswerKey = Pick<Database['job_answer'], 'job' | 'epoch' | 'key'>;

const answerBefore = prepared((db, of: AnswerKey) =>
  db
    .selectFrom('job_answer')
    .select('answer')
    .where('job', '=', of.job)
    .where('epoch', '=', of.epoch)
    .where('key', '=', of.key),
);

const keepAnswer = prepared((db, row: Database['job_answer']) =>
  db.insertInto('job_answer').values({ job: row.job, epoch: row.epoch, key: row.key, answer: row.answer }),
);

/** The answer of this key, if it was given before. */
function* answerOf(q: Queries, { job, epoch, key }: AnswerKey): Act<unknown> {
  const row = yield* first(answerBefore(q, { job, epoch, key }));
  return row === undefined ? null : JSON.parse(row.answer);
}

type HolderCall = { readonly job: string; readonly epoch: number; readonly nowMs: number } & {
  readonly instance: InstanceId;
};

interface Told {
  readonly what: string;
  readonly sealed?: { readonly gen: number; readonly envelope: string };
  readonly note?: { readonly gen: number; readonly envelope: string } | null;
}

/** A decision about a holder's call, its rows and an entry. */
export function* decided<Answer extends object>(
  q: Queries,
  held: Held,
  input: HolderCall,
  decision: Decision<Answer>,
  told: Told,
): Act<Refused | Answer> {
  if (!decision.ok) return refused(decision.code, decision.why);
  const { nowMs, instance } = input;
  const saved = yield* saveRows(q, held, decision.rows, {
    nowMs,
    ...(told.sealed === undefined ? {} : { sealed: told.sealed }),
  });
  yield* addEntry(q, saved, { what: told.what, instance, nowMs });
  yield* addNote(q, saved.id, told.note ?? null);
  return decision.answer;
}

/**
 * One idempotent call of a holder: the answer of before, or a decision and its answer kept. Who lost the job hears that
 * first: an answer of before must not tell him that he still has it (R5).
 */
export function* keyed<Answer extends object>(
  q: Queries,
  input: HolderCall & { readonly key: string },
  decide: (rows: AccountRows) => Decision<Answer>,
  told: Told,
): Act<Refused | Answer> {
  const held = yield* lockRows(q, input.job);
  if ('refused' in held) return held;
  const fenced = fencedOff(held.job, input);
  if (fenced !== null) return refused(fenced.code, fenced.why);
  const before = yield* answerOf(q, input);
  if (before !== null) return before as Answer;
  const answer = yield* decided(q, held, input, decide(held.rows), told);
  if ('refused' in answer) return answer;
  const { job, epoch, key } = input;
  yield* run(keepAnswer(q, { job, epoch, key, answer: JSON.stringify(answer) }));
  return answer;
}
