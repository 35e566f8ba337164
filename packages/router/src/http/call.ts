import type { IncomingHttpHeaders } from 'node:http';
import { type DeviceId, PamError, type PersonUid, type Right, type Route } from '@sallyport/protocol';
import type { z } from 'zod';
import type { EventBody, NewEvent } from '../audit/index.ts';

/** Who calls, as proved by access token and DPoP. */
export interface Caller {
  readonly person: PersonUid;
  readonly device: DeviceId;
  readonly tokenHash: string;
  readonly expiresAtMs: number;
  /** Is the device in the trust log, and not removed? Always true on routes of access `device`. */
  readonly inLog: boolean;
}

/** What a handler gets: everything checked that the route declares. */
interface Call<Query, Body> {
  readonly query: Query;
  readonly body: Body;
  /** Remote address of the connection, without a port. */
  readonly address: string;
  /** The path's parameter, checked by `schema`. @throws PAM_BAD_REQUEST */
  param<S extends z.ZodType>(name: string, schema: S): z.output<S>;
}
export interface PublicCall<Query, Body> extends Call<Query, Body> {
  /** The key that signed this request's DPoP proof. @throws PAM_PROOF_INVALID */
  prove(): Promise<DeviceId>;
  /** The body as it was sent. */
  readonly raw: unknown;
}
export interface CallerCall<Query, Body> extends Call<Query, Body> {
  readonly caller: Caller;
  /** @throws PAM_NOT_ALLOWED naming the right. */
  need(right: Right): void;
  /** Checks the actor's signed event of an audited route; `kind` and `body` are what the router's own row says. */
  signed(kind: string, body: EventBody): Promise<NewEvent>;
}

/** A route with its handler; the loop in `api-server.ts` serves it. */
export type Binding =
  | {
      readonly access: 'public';
      readonly route: AnyRoute;
      readonly run: (call: PublicCall<never, never>) => Promise<unknown>;
    }
  | {
      readonly access: 'caller';
      readonly route: AnyRoute;
      readonly run: (call: CallerCall<never, never>) => Promise<unknown>;
    };
type AnyRoute = Route<z.ZodType, z.ZodType, z.ZodType>;

/** Binds a route that anybody may call. */
export function bindPublic<Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  route: Route<Q, B, R>,
  run: (call: PublicCall<z.output<Q>, z.output<B>>) => Promise<z.input<R>>,
): Binding {
  return { access: 'public', route, run };
}

/** Binds a route that needs a sign-in. */
export function bindCaller<Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  route: Route<Q, B, R>,
  run: (call: CallerCall<z.output<Q>, z.output<B>>) => Promise<z.input<R>>,
): Binding {
  return { access: 'caller', route, run };
}

/** Checks a value of the request. @throws PAM_BAD_REQUEST naming the first field that is wrong. */
export function checked<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const path = [where, ...(issue?.path ?? [])].join('.');
  throw new PamError('PAM_BAD_REQUEST', `${path}: ${issue?.message ?? 'not of the form asked for'}`, {
    detail: { field: path.slice(0, 256) },
  });
}

/** One header's text, `null` when absent or given twice. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' && value.length > 0 ? value : null;
}
