import type { AuditStore } from '../audit/index.ts';
import type { IdentityStore } from '../identity/index.ts';
import type { PoolStore } from '../pool/index.ts';
import type { RotationStore } from '../rotation/index.ts';
import type { SessionStore } from '../session/index.ts';
import type { TrustStore } from '../trust/index.ts';
import type { VaultStore } from '../vault/index.ts';
import { type ActCall, acts, type Concept } from './acts/index.ts';

/** The ports of all concepts. */
export interface Ports {
  readonly pool: PoolStore;
  readonly vault: VaultStore;
  readonly identity: IdentityStore;
  readonly trust: TrustStore;
  readonly session: SessionStore;
  readonly rotation: RotationStore;
  readonly audit: AuditStore;
}

declare const answer: unique symbol;
/** One method call that has not run yet, and what it will answer. */
export interface Call<Output> extends ActCall {
  readonly [answer]?: Output;
}

type CallsOf<Port> = {
  readonly [Method in keyof Port]: Port[Method] extends (input: infer Input) => Promise<infer Output>
    ? (input: Input) => Call<Output>
    : never;
};
/** The same methods, as calls for `together`. */
export type PortCalls = { readonly [C in Concept]: CallsOf<Ports[C]> };
export type ResultsOf<Calls extends readonly Call<unknown>[]> = {
  -readonly [I in keyof Calls]: Calls[I] extends Call<infer Output> ? Output : never;
};

function methodsOf<T>(make: (concept: Concept, method: string) => T): Record<Concept, Record<string, T>> {
  const entries = Object.entries(acts).map(([concept, methods]) => [
    concept,
    Object.fromEntries(Object.keys(methods).map((method) => [method, make(concept as Concept, method)])),
  ]);
  return Object.fromEntries(entries) as Record<Concept, Record<string, T>>;
}

/** Calls by concept and method. `ActsOf` has held names and shapes of acts and ports equal. */
export function portCalls(): PortCalls {
  const calls = methodsOf(
    (concept, method) =>
      (input: unknown): ActCall => ({ concept, method, input }),
  );
  return calls as unknown as PortCalls;
}

/** Ports whose every method is one transaction of `run`. */
export function portsOver(run: (calls: readonly ActCall[]) => Promise<readonly unknown[]>): Ports {
  const ports = methodsOf(
    (concept, method) =>
      async (input: unknown): Promise<unknown> =>
        (await run([{ concept, method, input }]))[0],
  );
  return ports as unknown as Ports;
}
