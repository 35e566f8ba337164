import { jobWhySchema, PamError } from '@sallyport/protocol';
import { decideCancel, decideResolve } from '@sallyport/rotation';
import type { RotationStore } from '../../../rotation/index.ts';
import { type ActsOf, all, first, run } from '../../act.ts';
import { addEntry, lockAccount, lockJob, readVersionRows, saveJob, toAccount } from '../job-rows.ts';
import { planRetirement } from '../retire-acts.ts';
import { allParts, liveItems, putPart, readItems } from '../vault-acts.ts';
import { versionsTold } from './held-rows.ts';
import { secretsOf } from './record-secrets.ts';
import { saveVersions } from './save-versions.ts';
import { afterHold } from './wake-waiting.ts';

export const operatorActs: Pick<ActsOf<RotationStore>, 'cancelJob' | 'resolveRotation'> = {
  *cancelJob(q, input) {
    const known = yield* first(q.db.selectFrom('job').select('account').where('id', '=', input.job));
    if (known === undefined) throw new PamError('PAM_NOT_FOUND', `there is no job ${input.job}`);
    const account = known.account === null ? undefined : yield* lockAccount(q, known.account);
    const job = yield* lockJob(q, input.job);
    if (job === null) throw new PamError('PAM_NOT_FOUND', `there is no job ${input.job}`);
    const rows = { account: account === undefined ? null : toAccount(account), job };
    const decision = decideCancel(rows);
    if (!decision.ok) throw new PamError(decision.code, decision.why, { detail: { job: job.id, state: job.state } });
    const { ended } = decision.answer;
    const why = jobWhySchema.parse(decision.rows.job.why === '' ? 'none' : decision.rows.job.why);
    const saved = { ...job, ...decision.rows.job, why, endedAtMs: ended ? input.nowMs : null };
    yield* saveJob(q, job, saved);
    if (account !== undefined && decision.rows.account !== rows.account) {
      yield* run(q.db.updateTable('account').set({ job: null }).where('account', '=', account.account));
    }
    if (ended) {
      yield* afterHold(q, saved, true, input.nowMs);
      yield* planRetirement(q, saved, input.nowMs);
    }
    yield* addEntry(q, job, { what: ended ? 'cancelled' : 'cancel asked', instance: null, nowMs: input.nowMs });
    return saved;
  },

  *resolveRotation(q, input) {
    const { record, version, secrets, nowMs } = input;
    const candidates = yield* all(
      q.db
        .selectFrom('account')
        .select(['account', 'attention'])
        .where('record', '=', record)
        .orderBy('changed_ms', 'desc')
        .orderBy('account'),
    );
    const chosen = candidates.find((row) => row.attention !== null) ?? candidates[0];
    const account = chosen === undefined ? undefined : yield* lockAccount(q, chosen.account);
    if (account === undefined) throw new PamError('PAM_NOT_FOUND', `nothing was ever rotated for ${record}`);
    const versions = yield* readVersionRows(q, account.account, versionsTold, [account.current, version]);
    const rows = { account: toAccount(account), versions };
    const decision = decideResolve(rows, { version, rev: secrets?.rev ?? null }, nowMs);
    if (!decision.ok) throw new PamError(decision.code, decision.why, { detail: { record } });
    if (secrets !== null) {
      if ((yield* secretsOf(q, record)) === null) throw new PamError('PAM_NOT_FOUND', `there is no item ${record}`);
      yield* putPart(q, record, 'secrets', secrets, input.author, nowMs);
      yield* run(q.db.updateTable('item').set({ modified_ms: nowMs }).where('uid', '=', record));
      const { gen, envelope } = secrets;
      yield* saveVersions(q, rows.versions, decision.rows.versions, { gen, envelope });
    }
    const { current, nextVersion } = decision.rows.account;
    yield* run(
      q.db
        .updateTable('account')
        .set({ current, next_version: nextVersion, attention: null, changed_ms: nowMs })
        .where('account', '=', account.account),
    );
    const [item] = yield* readItems(q, yield* liveItems(q, [record]), allParts);
    if (item === undefined) throw new PamError('PAM_NOT_FOUND', `there is no item ${record}`);
    return item;
  },
};
