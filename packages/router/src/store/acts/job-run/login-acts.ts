import { decideLogin, probeBudget } from '@sallyport/rotation';
import type { RotationStore } from '../../../rotation/index.ts';
import { type ActsOf, prepared, run } from '../../act.ts';
import type { Database } from '../../schema.ts';
import { lockAccount, readLogins } from '../job-rows.ts';

const putLogin = prepared((db, row: Database['account_login']) =>
  db
    .insertInto('account_login')
    .values({ account: row.account, id: row.id, at_ms: row.at_ms, state: row.state })
    .onConflict((on) => on.columns(['account', 'id']).doUpdateSet({ state: row.state })),
);

const dropLogins = prepared((db, of: { account: string; sinceMs: number }) =>
  db.deleteFrom('account_login').where('account', '=', of.account).where('at_ms', '<=', of.sinceMs),
);

export const loginActs: Pick<ActsOf<RotationStore>, 'takeLogin'> = {
  *takeLogin(q, input) {
    const { account, nowMs } = input;
    // No claim, no account: what nobody holds, nobody probes.
    if ((yield* lockAccount(q, account)) === undefined) return { granted: false, inMs: probeBudget.windowMs };
    const sinceMs = nowMs - probeBudget.windowMs;
    const logins = yield* readLogins(q, account, sinceMs);
    const decided = decideLogin({ account: { account }, logins }, input, nowMs);
    for (const login of decided.rows.logins) {
      if (logins.includes(login)) continue;
      const { id, atMs, state } = login;
      yield* run(putLogin(q, { account, id, at_ms: atMs, state }));
    }
    if (input.act === 'take') {
      yield* run(dropLogins(q, { account, sinceMs }));
    }
    return { granted: decided.granted, inMs: Math.ceil(decided.inMs) };
  },
};
