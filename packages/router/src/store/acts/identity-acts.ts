import { deviceIdSchema, PamError, personUidSchema } from '@sallyport/protocol';
import type { Selectable } from 'kysely';
import type { IdentityStore, OpaqueAttempt, Person, SignIn } from '../../identity/index.ts';
import { type Act, type ActsOf, first, type Queries, run } from '../act.ts';
import type { Database } from '../schema.ts';

/** Names differ only by more than case. */
const nameKey = (name: string): string => name.normalize('NFKC').toLowerCase();

function toPerson(row: Selectable<Database['person']>): Person {
  return {
    uid: personUidSchema.parse(row.uid),
    name: row.name,
    credentialId: row.credential_id,
    registrationRecord: row.registration_record,
    ksf: row.ksf,
    blob: row.blob,
    recoveryLookup: row.recovery_lookup,
    recoveryBlob: row.recovery_blob,
  };
}

function* findBy(q: Queries, column: 'uid' | 'name_key' | 'recovery_lookup', value: string): Act<Person | null> {
  const row = yield* first(q.db.selectFrom('person').selectAll().where(column, '=', value));
  return row === undefined ? null : toPerson(row);
}

function* readSetting(q: Queries, key: string): Act<string | null> {
  return (yield* first(q.db.selectFrom('setting').select('value').where('key', '=', key)))?.value ?? null;
}

export const identityActs: ActsOf<IdentityStore> = {
  *readSetting(q, input) {
    return yield* readSetting(q, input.key);
  },

  *initSetting(q, input) {
    yield* run(
      q.db
        .insertInto('setting')
        .values({ key: input.key, value: input.value })
        .onConflict((on) => on.doNothing()),
    );
    return (yield* readSetting(q, input.key)) ?? input.value;
  },

  *writeSetting(q, input) {
    yield* run(
      q.db
        .insertInto('setting')
        .values({ key: input.key, value: input.value })
        .onConflict((on) => on.column('key').doUpdateSet({ value: input.value })),
    );
  },

  *claimRouter(q, input) {
    const expiresAt = yield* readSetting(q, 'setup-expires-at-ms');
    // Deleting the secret is the lock: of two claims at once the second finds nothing to delete.
    const burned = yield* run(
      q.db.deleteFrom('setting').where('key', '=', 'setup-secret').where('value', '=', input.secretHash),
    );
    const somebody = yield* first(q.db.selectFrom('person').select('uid').limit(1));
    if (somebody !== undefined) throw new PamError('PAM_ROUTER_CLAIMED', 'this router already has an owner');
    if (burned === 0) throw new PamError('PAM_SETUP_CODE_INVALID', 'the setup code is not the one this router printed');
    if (expiresAt !== null && Number(expiresAt) <= input.nowMs) {
      throw new PamError('PAM_SETUP_CODE_INVALID', 'the setup code has expired');
    }
    const { person } = input;
    yield* run(
      q.db.insertInto('person').values({
        uid: person.uid,
        name: person.name,
        name_key: nameKey(person.name),
        credential_id: person.credentialId,
        registration_record: person.registrationRecord,
        ksf: person.ksf,
        blob: person.blob,
        recovery_lookup: person.recoveryLookup,
        recovery_blob: person.recoveryBlob,
      }),
    );
  },

  *findPersonByName(q, input) {
    return yield* findBy(q, 'name_key', nameKey(input.name));
  },

  *findPerson(q, input) {
    return yield* findBy(q, 'uid', input.uid);
  },

  *findPersonByRecovery(q, input) {
    return yield* findBy(q, 'recovery_lookup', input.lookup);
  },

  *recoverPerson(q, input) {
    const row = yield* first(
      q.db
        .updateTable('person')
        .set({
          registration_record: input.registrationRecord,
          ksf: input.ksf,
          blob: input.blob,
          recovery_lookup: input.newLookup,
          recovery_blob: input.newBlob,
        })
        .where('recovery_lookup', '=', input.lookup)
        .returning('uid'),
    );
    if (row === undefined) throw new PamError('PAM_RECOVERY_FAILED', 'the recovery code is wrong or was used');
    yield* run(q.db.deleteFrom('sign_in').where('person', '=', row.uid));
    return personUidSchema.parse(row.uid);
  },

  *addAttempt(q, input) {
    yield* run(q.db.deleteFrom('opaque_attempt').where('expires_ms', '<=', input.nowMs));
    const live = yield* first(q.db.selectFrom('opaque_attempt').select((of) => of.fn.countAll<number>().as('count')));
    if ((live?.count ?? 0) >= input.capacity) {
      throw new PamError('PAM_RATE_LIMITED', 'too many sign-ins are under way; try again in a minute');
    }
    const { id, person, serverState, expiresAtMs } = input.attempt;
    yield* run(
      q.db.insertInto('opaque_attempt').values({ id, person, server_state: serverState, expires_ms: expiresAtMs }),
    );
  },

  *takeAttempt(q, input) {
    const row = yield* first(q.db.deleteFrom('opaque_attempt').where('id', '=', input.id).returningAll());
    if (row === undefined || row.expires_ms <= input.nowMs) return null;
    const attempt: OpaqueAttempt = {
      id: row.id,
      person: row.person === null ? null : personUidSchema.parse(row.person),
      serverState: row.server_state,
      expiresAtMs: row.expires_ms,
    };
    return attempt;
  },

  *addSignIn(q, input) {
    const { tokenHash, person, device, createdAtMs, expiresAtMs } = input.signIn;
    yield* run(
      q.db
        .insertInto('sign_in')
        .values({ token_hash: tokenHash, person, device, created_ms: createdAtMs, expires_ms: expiresAtMs }),
    );
  },

  *findSignIn(q, input) {
    const row = yield* first(
      q.db
        .selectFrom('sign_in')
        .selectAll()
        .where('token_hash', '=', input.tokenHash)
        .where('expires_ms', '>', input.nowMs),
    );
    if (row === undefined) return null;
    const signIn: SignIn = {
      tokenHash: row.token_hash,
      person: personUidSchema.parse(row.person),
      device: deviceIdSchema.parse(row.device),
      createdAtMs: row.created_ms,
      expiresAtMs: row.expires_ms,
    };
    return signIn;
  },

  *removeSignIn(q, input) {
    yield* run(q.db.deleteFrom('sign_in').where('token_hash', '=', input.tokenHash));
  },

  *sweepExpired(q, input) {
    const attempts = yield* run(q.db.deleteFrom('opaque_attempt').where('expires_ms', '<=', input.nowMs));
    return attempts + (yield* run(q.db.deleteFrom('sign_in').where('expires_ms', '<=', input.nowMs)));
  },
};
