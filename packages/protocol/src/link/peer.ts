import { z } from 'zod';
import { isErrorCode } from '../errors/catalog.ts';
import { PamError, toWireError } from '../errors/pam-error.ts';
import type { jobMethods } from './job-messages.ts';
import { type LinkMethod, linkLimits, linkMethods } from './messages.ts';
import { wireErrorSchema } from '../errors/wire-error.ts';

/**
 * JSON-RPC 2.0 over one text channel, both ways, for the control link. No I/O and no clock: the owner passes texts in
 * and gets texts out.
 *
 * P1 a text of the peer never throws out of `receive`: rubbish ends the link through `onBroken`.
 * P2 every call ends: by its answer, its timer, its signal, or the end of the link.
 * P3 at most `linkLimits.openCalls` calls of the peer run at once; one more is answered with PAM_RATE_LIMITED.
 * P4 a handler's error reaches the peer as code, message, remedy and detail of a PamError; anything else as PAM_INTERNAL.
 *
 * Own code, not vscode-jsonrpc: that handles one message per event-loop turn and can be crashed by a peer (ADR 0003).
 */
export type LinkSide = 'router' | 'instance';
type MethodsFrom<Side extends LinkSide> = {
  [M in LinkMethod]: (typeof linkMethods)[M]['from'] extends Side ? M : never;
}[LinkMethod];
export type LinkParams<M extends LinkMethod> = z.output<(typeof linkMethods)[M]['params']>;
export type LinkResult<M extends LinkMethod> = z.output<(typeof linkMethods)[M]['result']>;
type Handlers<M extends LinkMethod> = {
  readonly [Method in M]: (params: LinkParams<Method>, signal: AbortSignal) => Promise<LinkResult<Method>>;
};
type Heard<Side extends LinkSide> = MethodsFrom<Side extends 'router' ? 'instance' : 'router'>;
/** Handlers of jobs: a side without them answers PAM_VERSION_UNSUPPORTED. */
export type JobHandlers<Side extends LinkSide> = Handlers<Extract<Heard<Side>, keyof typeof jobMethods>>;
/** One handler for each method that the other side may send. Notifications' results are dropped. */
export type LinkHandlers<Side extends LinkSide> = Handlers<Exclude<Heard<Side>, keyof typeof jobMethods>> &
  Partial<JobHandlers<Side>>;

export interface PeerDeps<Side extends LinkSide> {
  readonly side: Side;
  readonly send: (text: string) => void;
  readonly handlers: LinkHandlers<Side>;
  /** Runs `fn` after `ms`; the answer cancels it. */
  readonly schedule: (ms: number, fn: () => void) => () => void;
  /** The peer broke the protocol, or a handler failed in a way nobody expected: the owner closes the link or logs. */
  readonly onBroken: (error: PamError) => void;
  readonly onHandlerError: (method: string, error: unknown) => void;
}

const idSchema = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const incomingSchema = z.union([
  z.strictObject({
    jsonrpc: z.literal('2.0'),
    id: idSchema.optional(),
    method: z.string().max(64),
    params: z.unknown().optional(),
  }),
  z.strictObject({ jsonrpc: z.literal('2.0'), id: idSchema, result: z.unknown() }),
  z.strictObject({
    jsonrpc: z.literal('2.0'),
    id: idSchema,
    error: z.strictObject({ code: z.int(), message: z.string().max(1_024), data: wireErrorSchema }),
  }),
]);

interface OpenCall {
  readonly method: LinkMethod;
  readonly settle: (outcome: { readonly result: unknown } | { readonly error: PamError }) => void;
}

export interface Peer<Side extends LinkSide> {
  /** Calls the other side; rejects with PamError: the peer's own, PAM_TIMEOUT, or PAM_LEG_FAILED when the link ended. */
  call<M extends MethodsFrom<Side>>(
    method: M,
    params: z.input<(typeof linkMethods)[M]['params']>,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<LinkResult<M>>;
  notify<M extends MethodsFrom<Side>>(method: M, params: z.input<(typeof linkMethods)[M]['params']>): void;
  receive(text: string): void;
  /** Ends every open call and tells every running handler. Idempotent. */
  close(error: PamError): void;
}

export function createPeer<Side extends LinkSide>(deps: PeerDeps<Side>): Peer<Side> {
  const open = new Map<number, OpenCall>();
  const running = new Set<AbortController>();
  let nextId = 1;
  let closed: PamError | null = null;

  const answer = (id: number, body: Record<string, unknown>): void => {
    if (closed === null) deps.send(JSON.stringify({ jsonrpc: '2.0', id, ...body }));
  };
  const answerError = (id: number, error: PamError): void =>
    answer(id, { error: { code: -32_000, message: error.code, data: toWireError(error) } });
  const broken = (message: string): void => deps.onBroken(new PamError('PAM_BAD_REQUEST', message));

  async function run(method: LinkMethod, params: unknown, id: number | undefined): Promise<void> {
    const handler = Reflect.get(deps.handlers, method) as
      | ((p: unknown, s: AbortSignal) => Promise<unknown>)
      | undefined;
    if (handler === undefined) {
      if (id !== undefined) answerError(id, new PamError('PAM_VERSION_UNSUPPORTED', `${method} is not served here`));
      return;
    }
    const controller = new AbortController();
    running.add(controller);
    try {
      const result = await handler(params, controller.signal);
      if (id !== undefined) answer(id, { result });
    } catch (reason) {
      const known = reason instanceof PamError;
      if (!known) deps.onHandlerError(method, reason);
      if (id !== undefined) answerError(id, PamError.from(reason, 'PAM_INTERNAL', 'the other end failed to answer'));
    } finally {
      running.delete(controller);
    }
  }

  function onCall(method: string, params: unknown, id: number | undefined): void {
    const spec = Object.hasOwn(linkMethods, method) ? linkMethods[method as LinkMethod] : undefined;
    if (spec === undefined || spec.from === deps.side) {
      if (id === undefined) return; // an unknown notification of a newer peer is ignored
      answerError(id, new PamError('PAM_BAD_REQUEST', `method ${method} is not known here`));
      return;
    }
    const parsed = spec.params.safeParse(params);
    if (!parsed.success) {
      const where = parsed.error.issues[0];
      const error = new PamError(
        'PAM_BAD_REQUEST',
        `${method}: ${where?.path.join('.') ?? ''} ${where?.message ?? ''}`,
      );
      if (id === undefined) deps.onBroken(error);
      else answerError(id, error);
      return;
    }
    if (running.size >= linkLimits.openCalls) {
      if (id !== undefined) answerError(id, new PamError('PAM_RATE_LIMITED', 'too many calls at once on this link'));
      return;
    }
    void run(method as LinkMethod, parsed.data, id);
  }

  function onAnswer(id: number, outcome: { readonly result: unknown } | { readonly error: PamError }): void {
    const call = open.get(id);
    if (call === undefined) return; // late answer to a call that timed out
    call.settle(outcome);
  }

  function receive(text: string): void {
    if (closed !== null) return;
    if (text.length > linkLimits.messageBytes) return broken('a message is over 1 MiB');
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (reason) {
      deps.onBroken(new PamError('PAM_BAD_REQUEST', 'a message is not JSON', { cause: reason }));
      return;
    }
    const parsed = incomingSchema.safeParse(value);
    if (!parsed.success) return broken('a message is not JSON-RPC 2.0');
    const message = parsed.data;
    if ('method' in message) return onCall(message.method, message.params, message.id);
    if ('error' in message) {
      const { code, message: why, remedy, detail } = message.error.data;
      const known = isErrorCode(code) ? code : 'PAM_INTERNAL';
      return onAnswer(message.id, { error: new PamError(known, why, { remedy, detail }) });
    }
    onAnswer(message.id, { result: message.result });
  }

  function call<M extends MethodsFrom<Side>>(
    method: M,
    params: z.input<(typeof linkMethods)[M]['params']>,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<LinkResult<M>> {
    if (closed !== null) return Promise.reject(closed);
    if (options.signal?.aborted === true)
      return Promise.reject(new PamError('PAM_INTERRUPTED', `${method} was cancelled`));
    const id = nextId++;
    return new Promise((resolve, reject) => {
      const settle: OpenCall['settle'] = (outcome) => {
        open.delete(id);
        cancelTimer();
        options.signal?.removeEventListener('abort', onAbort);
        if ('error' in outcome) return reject(outcome.error);
        const parsed = linkMethods[method].result.safeParse(outcome.result);
        if (parsed.success) resolve(parsed.data as LinkResult<M>);
        else reject(new PamError('PAM_BAD_REQUEST', `the answer to ${method} does not have its form`));
      };
      const onAbort = (): void => settle({ error: new PamError('PAM_INTERRUPTED', `${method} was cancelled`) });
      const cancelTimer = deps.schedule(options.timeoutMs, () =>
        settle({ error: new PamError('PAM_TIMEOUT', `no answer to ${method} within ${options.timeoutMs} ms`) }),
      );
      options.signal?.addEventListener('abort', onAbort, { once: true });
      open.set(id, { method, settle });
      deps.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    });
  }

  return {
    call,
    receive,
    notify: (method, params) => {
      if (closed === null) deps.send(JSON.stringify({ jsonrpc: '2.0', method, params }));
    },
    close: (error) => {
      if (closed !== null) return;
      closed = error;
      for (const waiting of [...open.values()]) waiting.settle({ error });
      for (const controller of running) controller.abort(error);
    },
  };
}
