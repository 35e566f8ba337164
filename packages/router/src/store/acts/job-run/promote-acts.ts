import { PamError } from '@sallyport/protocol';
import { decidePromote } from '@sallyport/rotation';
import type { RotationStore } from '../../../rotation/index.ts';
import { type ActsOf, first, prepared, run } from '../../act.ts';
import { auditActs } from '../audit-acts.ts';
import { addEntry } from '../job-rows.ts';
import { putPart } from '../vault-acts.ts';
import { lockRows, saveRows } from './held-rows.ts';
import { secretsOf } from './record-secrets.ts';
import { refused } from './refused.ts';

const sealedVersion = prepared((db, of: { account: string; n: number }) =>
  db
    .selectFrom('account_version')
    .select(['rev', 'gen', 'envelope'])
    .where('account', '=', of.account)
    .where('n', '=', of.n),
);

const touchItem = prepared((db, of: { uid: string; nowMs: number }) =>
  db.updateTable('item').set({ modified_ms: of.nowMs }).where('uid', '=', of.uid),
);

export const promoteActs: Pick<ActsOf<RotationStore>, 'promoteVersion'> = {
  *promoteVersion(q, input) {
    const held = yield* lockRows(q, input.job);
    if ('refused' in held) return held;
    const { job } = held;
    const secrets = yield* secretsOf(q, job.record);
    const decision = decidePromote(held.rows, { ...input, secretsRev: secrets?.rev ?? null });
    if (!decision.ok) return refused(decision.code, decision.why);
    const { record, app, createdAtMs } = job;
    const { answer } = decision;
    const again = answer.kind === 'promoted' && answer.again;
    const { nowMs, instance } = input;
    if (answer.kind === 'edited') {
      yield* addEntry(q, job, { what: 'edited', instance, nowMs });
      const head = input.edited === null ? null : yield* auditActs.appendEvents(q, input.edited);
      const edited = { kind: 'edited', rev: Math.max(1, secrets?.rev ?? 1) } as const;
      return { answer: edited, head, record, app, createdAtMs, again };
    }
    if (!again) {
      const version = yield* first(sealedVersion(q, { account: held.rows.account.account, n: input.version }));
      if (version === undefined) throw new PamError('PAM_INTERNAL', 'a candidate has no envelope');
      yield* putPart(q, record, 'secrets', version, instance, nowMs);
      yield* run(touchItem(q, { uid: record, nowMs }));
      const saved = yield* saveRows(q, held, decision.rows, { nowMs });
      yield* addEntry(q, saved, { what: 'promoted', instance, nowMs });
    }
    const head = input.promoted === null ? null : yield* auditActs.appendEvents(q, input.promoted);
    return { answer: { kind: 'promoted' }, head, record, app, createdAtMs, again };
  },
};
