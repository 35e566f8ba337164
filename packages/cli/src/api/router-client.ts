import { type Head, PamError, type Route, wireErrorSchema } from '@sallyport/protocol';
import type { SigningKey } from '@sallyport/seal';
import { z } from 'zod';
import type { Sighting } from '../profile/memory.ts';
import { type Clock, nowSeconds } from '../time/clock.ts';
import { logHeadHeader, parseLogHead } from './heads.ts';
import { nextTry } from './retry-call.ts';
import { toldError } from './told-error.ts';
import type { HttpReply, Transport } from './transport.ts';

/** A call of one route: what fills its path, its query and its body. */
export interface CallInput<Query extends z.ZodType, Body extends z.ZodType> {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: z.input<Query>;
  readonly body?: z.input<Body>;
}

interface CallOptions {
  /** For callers that try again by a rhythm of their own; by default what `nextTry` says. */
  readonly once?: boolean;
  /** Where what the reply says of the router's logs is put, for a caller that writes it to the profile with the rest. */
  readonly gathered?: Sighting[];
  /** The caller compares the heads of the reply. */
  readonly unwatched?: boolean;
}

/** Calls routes of the router; replies are checked against the route's schema. */
export interface RouterClient {
  readonly address: string;
  /** Any error the router names; PAM_ROUTER_UNREACHABLE, PAM_ROUTER_IMPOSTOR, PAM_CLOCK_SKEW, PAM_BAD_REQUEST (odd reply). */
  call<Query extends z.ZodType, Body extends z.ZodType, Reply extends z.ZodType>(
    route: Route<Query, Body, Reply>,
    input?: CallInput<Query, Body>,
    options?: CallOptions,
  ): Promise<z.output<Reply>>;
  /** The highest head of the trust log that a reply named: whatever was read stands on a log at least this long. */
  shownLogHead(): Head | null;
  close(): void;
}

/** Sees what the router says about its logs: `before` when a call starts, the returned function with its headers. */
export type WatchHeads = (gathered?: Sighting[]) => (headers: Readonly<Record<string, string>>) => Promise<void>;

export interface RouterClientDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** 0 to 1; spreads retries. */
  readonly jitter: () => number;
  /** Key of the DPoP proofs and, once signed in, the access token bound to it. Absent: only public routes. */
  readonly device?: { readonly key: SigningKey; readonly accessToken: () => string | null };
  readonly watchHeads?: WatchHeads;
}

/** Over this difference a refused proof is blamed on the clocks. */
const skewMs = 30_000;

export function createRouterClient(deps: RouterClientDeps): RouterClient {
  const { transport } = deps;
  let shown: Head | null = null;
  const once = async (
    route: Route<z.ZodType, z.ZodType, z.ZodType>,
    path: string,
    body: string | null,
    { gathered, unwatched }: CallOptions,
  ) => {
    const seen = unwatched === true ? undefined : deps.watchHeads?.(gathered);
    const reply = await transport.send({
      method: route.method,
      path,
      headers: await authorization(deps, route, path),
      body,
      signal: deps.signal,
    });
    if (reply.status < 200 || reply.status > 299) throw refusal(reply, transport.address, deps.clock);
    await seen?.(reply.headers);
    const named = parseLogHead(reply.headers[logHeadHeader]);
    if (named !== null && named.n > (shown?.n ?? -1)) shown = named;
    return readReply(route, reply, transport.address);
  };
  return {
    address: transport.address,
    shownLogHead: () => shown,
    close: () => transport.close(),
    call: async (route, input = {}, options = {}) => {
      const path = fillPath(route.path, input.params ?? {}) + queryText(input.query);
      const body = route.method === 'GET' ? null : JSON.stringify(input.body ?? {});
      if (body !== null && Buffer.byteLength(body) > route.bodyLimitBytes) {
        throw new PamError(
          'PAM_TOO_LARGE',
          `the request is ${Buffer.byteLength(body)} bytes, the limit ${route.bodyLimitBytes}`,
        );
      }
      for (let attempts = 1; ; attempts++) {
        try {
          return (await once(route, path, body, options)) as never;
        } catch (reason) {
          if (options.once === true || !(reason instanceof PamError)) throw reason;
          const after = reason.detail['retryAfterMs'];
          const next = nextTry(
            {
              safe: route.method === 'GET',
              attempts,
              code: reason.code,
              sent: reason.detail['sent'] !== 0,
              retryAfterMs: typeof after === 'number' ? after : null,
            },
            deps.jitter(),
          );
          if (next.kind === 'stop') throw reason;
          await deps.clock.sleep(next.afterMs, deps.signal);
        }
      }
    },
  };
}

/** Puts parameters into a route's path. */
export function fillPath(path: string, params: Readonly<Record<string, string>>): string {
  return path.replaceAll(/:(\w+)/g, (_, name: string) => {
    const value = params[name];
    if (value === undefined) throw new PamError('PAM_INTERNAL', `the path ${path} needs ${name}`);
    return encodeURIComponent(value);
  });
}

function queryText(query: unknown): string {
  if (query === undefined || query === null) return '';
  const pairs = Object.entries(query as Record<string, unknown>)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, String(value)] as [string, string]);
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}

async function authorization(
  deps: RouterClientDeps,
  route: Route<z.ZodType, z.ZodType, z.ZodType>,
  path: string,
): Promise<Record<string, string>> {
  if (deps.device === undefined) return {};
  const { signProof } = await import('@sallyport/seal');
  const { key } = deps.device;
  const accessToken = deps.device.accessToken();
  const proof = await signProof(
    {
      method: route.method,
      url: `https://${deps.transport.address}${path.split('?')[0] ?? ''}`,
      nowSeconds: nowSeconds(deps.clock),
      ...(accessToken === null ? {} : { accessToken }),
    },
    key,
  );
  return accessToken === null ? { dpop: proof } : { dpop: proof, authorization: `DPoP ${accessToken}` };
}

const errorReplySchema = z.object({ error: wireErrorSchema });

function refusal(reply: HttpReply, address: string, clock: Clock): PamError {
  const parsed = errorReplySchema.safeParse(parseJson(reply.body));
  if (!parsed.success) return notOurs(address, `answered ${reply.status} without an error of ours`);
  const told = toldError(parsed.data.error);
  const { code } = told;
  const theirMs = Date.parse(reply.headers['date'] ?? '');
  const aheadMs = clock.nowMs() - theirMs;
  const blamesClock = code === 'PAM_PROOF_INVALID' || code === 'PAM_REQUEST_INVALID' || code === 'PAM_CLOCK_SKEW';
  if (blamesClock && Math.abs(aheadMs) > skewMs) return clockSkew(aheadMs);
  return told;
}

/** PAM_CLOCK_SKEW with the difference in words; `aheadMs` negative when this machine is behind. */
export function clockSkew(aheadMs: number): PamError {
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  return new PamError(
    'PAM_CLOCK_SKEW',
    `the clock of this machine is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the router's`,
    { detail: { aheadMs: Math.round(aheadMs) } },
  );
}

function readReply(route: Route<z.ZodType, z.ZodType, z.ZodType>, reply: HttpReply, address: string): unknown {
  const parsed = route.reply.safeParse(parseJson(reply.body));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join('.') ?? '';
  throw notOurs(
    address,
    `answered ${route.method} ${route.path} with a bad ${field === '' ? 'body' : `field ${field}`}`,
  );
}

function notOurs(address: string, what: string): PamError {
  return new PamError('PAM_BAD_REQUEST', `the server at ${address} ${what}`, {
    remedy: 'Check that the address is a Sallyport router and that both are of the same version.',
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (reason) {
    return reason instanceof SyntaxError ? undefined : null;
  }
}
