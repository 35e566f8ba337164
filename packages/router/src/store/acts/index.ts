import type { Act, Queries } from '../act.ts';
import { auditActs } from './audit-acts.ts';
import { identityActs } from './identity-acts.ts';
import { poolActs } from './pool-acts.ts';
import { rotationActs } from './rotation-acts.ts';
import { sessionActs } from './session-acts.ts';
import { trustActs } from './trust-acts.ts';
import { vaultActs } from './vault-acts.ts';

/** Every method of every port, by concept and name. */
export const acts = {
  pool: poolActs,
  vault: vaultActs,
  identity: identityActs,
  trust: trustActs,
  session: sessionActs,
  rotation: rotationActs,
  audit: auditActs,
} as const;
export type Concept = keyof typeof acts;

/** One method with its input: what travels to the worker. */
export interface ActCall {
  readonly concept: Concept;
  readonly method: string;
  readonly input: unknown;
}

/** Methods whose names begin so only read; PostgreSQL runs them read only, so a wrong name fails at once. */
const reading = /^(read|get|list|find|head|history|count|explain)/;

export function isRead(calls: readonly ActCall[]): boolean {
  return calls.every((call) => reading.test(call.method));
}

/** The act of a call. The facade in `ports.ts` is what keeps concept, method and input together. */
export function actOf(q: Queries, call: ActCall): Act<unknown> {
  const method: unknown = Reflect.get(acts[call.concept], call.method);
  return (method as (queries: Queries, input: unknown) => Act<unknown>)(q, call.input);
}
