import type { Socket } from 'node:net';
import { PamError } from '@sallyport/protocol';
import { type AddressPolicy, decideAddress } from './address-policy.ts';
import { readHost } from './host-text.ts';

/**
 * Whole time a dial may take, name resolution included: three SYNs (0, 1 and 3 s) and time to answer. Twice this fits in
 * the client's patience of 10 s, because a target that one instance cannot reach is tried at another.
 */
export const dialWithinMs = 5_000;
/** More answers of one name are not looked at. */
const maxAddresses = 16;

export interface DialDeps {
  /** Addresses of a name, in the resolver's order; rejects with a Node error (`code`). Called once per dial. */
  readonly resolve: (name: string) => Promise<readonly string[]>;
  /** Connects to an IP literal; rejects with a Node error, or with `signal.reason` once aborted. */
  readonly connect: (address: string, port: number, signal: AbortSignal) => Promise<Socket>;
  /** Runs `fn` after `ms`; the answer cancels it. */
  readonly schedule: (ms: number, fn: () => void) => () => void;
}
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  readonly policy: AddressPolicy;
}
export interface Dialled {
  readonly socket: Socket;
  readonly address: string;
}

const deniedWords = {
  'not-an-address': 'is not an IP address',
  metadata: 'is a metadata service, which is never dialled',
  'own-listener': 'is a listener of the gateway itself, which is never dialled',
  router: 'is the router, which is never dialled',
  special: 'is in a special range that the PAM configuration does not list',
  outside: 'is outside the networks of the PAM configuration',
} as const;

const neverRemedy = 'Give the record another host: this one is never dialled.';

function denied(host: string, address: string, why: keyof typeof deniedWords): PamError {
  const listable = why === 'special' || why === 'outside';
  return new PamError('PAM_TARGET_NOT_ALLOWED', `${address} ${deniedWords[why]}`, {
    detail: { host, address, why },
    ...(listable ? {} : { remedy: neverRemedy }),
  });
}

function nodeCode(reason: unknown): string {
  return reason instanceof Error && 'code' in reason && typeof reason.code === 'string' ? reason.code : '';
}

function fromResolve(host: string, reason: unknown): PamError {
  const detail = { host };
  if (reason instanceof PamError) return reason;
  if (nodeCode(reason) === 'EAI_AGAIN')
    return new PamError('PAM_TARGET_UNREACHABLE', `no name server answered for ${host}`, { detail, cause: reason });
  return new PamError('PAM_TARGET_NAME_UNKNOWN', `${host} does not resolve here`, { detail, cause: reason });
}

function fromConnect(where: string, reason: unknown): PamError {
  if (reason instanceof PamError) return reason;
  const detail = { address: where };
  switch (nodeCode(reason)) {
    case 'ECONNREFUSED':
    case 'ECONNRESET':
      return new PamError('PAM_TARGET_REFUSED', `${where} refused the connection`, { detail, cause: reason });
    case 'ETIMEDOUT':
      return new PamError('PAM_TARGET_TIMEOUT', `${where} did not answer`, { detail, cause: reason });
    default:
      return new PamError('PAM_TARGET_UNREACHABLE', `${where} cannot be reached`, { detail, cause: reason });
  }
}

/** The target's own word outranks silence, silence outranks a missing route. */
const rank: readonly string[] = ['PAM_TARGET_UNREACHABLE', 'PAM_TARGET_TIMEOUT', 'PAM_TARGET_REFUSED'];
const weightier = (a: PamError | null, b: PamError): PamError =>
  a === null || rank.indexOf(b.code) >= rank.indexOf(a.code) ? b : a;

/**
 * Says at once, without resolving or connecting, whether the host of a target can ever be dialled: the text is
 * canonical and a literal address passes the policy. Throws PAM_TARGET_NOT_ALLOWED.
 */
export function checkTarget(target: DialTarget): void {
  const host = readHost(target.host);
  if (host.kind === 'refused')
    throw new PamError('PAM_TARGET_NOT_ALLOWED', `the host is ${host.why}`, {
      detail: { host: target.host, why: 'host-text' },
      remedy: 'Correct the host of the record.',
    });
  if (host.kind === 'name') return;
  const decision = decideAddress(host.address, target.port, target.policy);
  if (decision.kind === 'denied') throw denied(target.host, host.address, decision.why);
}

/**
 * Resolves a target once, judges every address, and connects to the first allowed one that answers. The address that
 * was judged is the address that is dialled.
 *
 * @throws PamError PAM_TARGET_NOT_ALLOWED, _NAME_UNKNOWN, _REFUSED, _UNREACHABLE or _TIMEOUT; `signal.reason` when aborted.
 * @see docs/adr/0006-gateway-dial-policy.md
 */
export async function dialTarget(target: DialTarget, deps: DialDeps, signal: AbortSignal): Promise<Dialled> {
  checkTarget(target);
  signal.throwIfAborted();
  const limit = new AbortController();
  const late = new PamError('PAM_TARGET_TIMEOUT', `no connection to ${target.host} within ${dialWithinMs / 1_000} s`, {
    detail: { host: target.host, port: target.port },
  });
  const cancelLimit = deps.schedule(dialWithinMs, () => limit.abort(late));
  const onAbort = (): void => limit.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const allowed = await allowedAddresses(target, deps, limit.signal);
    return await connectFirst(allowed, target.port, deps, limit.signal);
  } finally {
    cancelLimit();
    signal.removeEventListener('abort', onAbort);
  }
}

async function allowedAddresses(target: DialTarget, deps: DialDeps, signal: AbortSignal): Promise<readonly string[]> {
  const host = readHost(target.host);
  if (host.kind === 'refused') return [];
  const answers = host.kind === 'address' ? [host.address] : await resolveName(host.name, deps, signal);
  const allowed: string[] = [];
  let refusal: PamError | null = null;
  for (const answer of answers.slice(0, maxAddresses)) {
    const decision = decideAddress(answer, target.port, target.policy);
    if (decision.kind === 'allowed') allowed.push(decision.address);
    else refusal ??= denied(target.host, answer, decision.why);
  }
  if (allowed.length > 0) return allowed;
  throw (
    refusal ??
    new PamError('PAM_TARGET_NAME_UNKNOWN', `${target.host} has no address`, { detail: { host: target.host } })
  );
}

async function resolveName(name: string, deps: DialDeps, signal: AbortSignal): Promise<readonly string[]> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([deps.resolve(name), aborted]);
  } catch (reason) {
    if (signal.aborted) throw signal.reason;
    throw fromResolve(name, reason);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function connectFirst(
  addresses: readonly string[],
  port: number,
  deps: DialDeps,
  signal: AbortSignal,
): Promise<Dialled> {
  let worst: PamError | null = null;
  for (const address of addresses) {
    try {
      return { socket: await deps.connect(address, port, signal), address };
    } catch (reason) {
      if (signal.aborted) throw signal.reason;
      worst = weightier(worst, fromConnect(`${address.includes(':') ? `[${address}]` : address}:${port}`, reason));
    }
  }
  throw worst ?? new PamError('PAM_TARGET_UNREACHABLE', 'no address to dial');
}
