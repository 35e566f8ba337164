import { PamError } from '@sallyport/protocol';
import type { Selectable } from 'kysely';
import { type Act, type Queries, run } from '../../act.ts';
import { incarnationUnit, readIncarnation } from '../../migrations.ts';
import type { Database } from '../../schema.ts';
import { lockAccount } from '../job-rows.ts';
import { liveItems } from '../vault-acts.ts';

/** The account's row, made at its first claim; another record's goes over to this one when that record is gone. */
export function* enterAccount(
  q: Queries,
  of: { readonly account: string; readonly server: string; readonly record: string; readonly nowMs: number },
): Act<Selectable<Database['account']>> {
  const { account, server, record, nowMs } = of;
  const epoch = (yield* readIncarnation(q)) * incarnationUnit;
  const send = epoch - incarnationUnit;
  const row = { account, record, server, epoch, send, current: null, job: null, next_version: 0 };
  const known = q.engine === 'sqlite' ? yield* lockAccount(q, account) : undefined;
  if (known === undefined) {
    yield* run(
      q.db
        .insertInto('account')
        .values({ ...row, attention: null, changed_ms: nowMs })
        .onConflict((on) => on.doNothing()),
    );
  }
  const locked = known ?? (yield* lockAccount(q, account));
  if (locked === undefined) throw new PamError('PAM_INTERNAL', 'an account was stored and is not there');
  if (locked.record === record || locked.job !== null) return locked;
  const isThere = (yield* liveItems(q, [locked.record])).length > 0;
  if (isThere) return locked;
  yield* run(q.db.updateTable('account').set({ record }).where('account', '=', account));
  return { ...locked, record };
}
