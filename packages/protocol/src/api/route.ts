import type { z } from 'zod';

/**
 * One HTTP route of the router: the router serves it, `pam` and the console call it, both from this one value.
 *
 * `access`: `public` needs nothing; `enrolling` needs an access token bound to the caller's key (DPoP, RFC 9449) whose
 * device may not be in the trust log yet; `device` needs one whose device is in the log. `right` names the right the
 * router checks on its mirror of the log (the readers check signatures themselves).
 * `audited` routes carry `event`, a signed event of the actor (see seal/event) whose digest covers the rest of the body.
 */
export interface Route<Query extends z.ZodType, Body extends z.ZodType, Reply extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path with `:name` parameters, each a UID, a number or a base64url word of at most 64 characters. */
  readonly path: `/v1/${string}`;
  readonly access: 'public' | 'enrolling' | 'device';
  readonly right?: Right;
  readonly audited: boolean;
  readonly query: Query;
  readonly body: Body;
  readonly reply: Reply;
  /** Checked before the body is parsed. */
  readonly bodyLimitBytes: number;
}

export const rights = [
  'people',
  'applications',
  'records',
  'secrets',
  'gateways',
  'connect',
  'router',
  'audit',
] as const;
export type Right = (typeof rights)[number];

export function defineRoute<Query extends z.ZodType, Body extends z.ZodType, Reply extends z.ZodType>(
  route: Route<Query, Body, Reply>,
): Route<Query, Body, Reply> {
  return route;
}
