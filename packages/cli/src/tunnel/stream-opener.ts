import { type InstanceId, PamError, type StreamId } from '@sallyport/protocol';
import type { OpenedStream } from '@sallyport/stream';
import type { Clock } from '../time/clock.ts';
import { newOpening, type OpeningEvent, type OpeningEffect, stepOpening } from './open-step.ts';

/** What an opening is made of; the real one talks to router and relay, tests give a fake. */
export interface OpeningParts {
  /** Asks the router; answers the instance and how to connect to it. */
  route(stream: StreamId, not: readonly InstanceId[], signal: AbortSignal): Promise<Routed>;
}

export interface Routed {
  readonly instance: InstanceId;
  /** It could not reach the resource lately and is tried again with this stream. */
  readonly probe: boolean;
  /** Connects the leg and opens the stream on it. `answered` is called at the instance's first frame. */
  connect(answered: () => void, signal: AbortSignal): Promise<ConnectResult>;
}

/** What connecting to one instance came to. */
export type ConnectResult =
  | { readonly kind: 'opened'; readonly stream: OpenedStream }
  | {
      readonly kind: 'refused';
      readonly class: Extract<OpeningEvent, { kind: 'refused' }>['class'];
      readonly error: PamError;
    };

/**
 * Opens one stream by the rules of `open-step.ts`.
 *
 * @returns the stream that won; every other try was reset. Throws the PamError to show, or PAM_INTERRUPTED when `signal`
 *   is aborted (the local socket went away).
 */
export async function openStream(
  deps: { readonly clock: Clock; readonly jitter: () => number },
  parts: OpeningParts,
  stream: StreamId,
  signal: AbortSignal,
): Promise<OpenedStream> {
  const { clock } = deps;
  return new Promise((resolve, reject) => {
    let state = newOpening(clock.monotonicMs(), deps.jitter());
    const lives = new Map<number, AbortController>();
    const opened = new Map<number, OpenedStream>();
    const timers = new Set<() => void>();

    const take = (event: OpeningEvent) => {
      const step = stepOpening(state, event, clock.monotonicMs());
      state = step.state;
      for (const effect of step.effects) act(effect);
    };
    const end = () => {
      for (const cancel of timers) cancel();
      timers.clear();
      signal.removeEventListener('abort', interrupt);
    };
    const interrupt = () => {
      for (const life of lives.values()) life.abort('client-reset');
      state = { ...state, over: true, attempts: [] };
      end();
      reject(new PamError('PAM_INTERRUPTED', 'the connection was closed before it was open'));
    };
    const act = (effect: OpeningEffect) => {
      switch (effect.kind) {
        case 'route':
          void attempt(effect.id, effect.not);
          return;
        case 'wake': {
          const cancel = clock.after(Math.max(0, effect.atMs - clock.monotonicMs()), () => {
            timers.delete(cancel);
            take({ kind: 'tick' });
          });
          timers.add(cancel);
          return;
        }
        case 'win': {
          const winner = opened.get(effect.id);
          end();
          if (winner === undefined) reject(new PamError('PAM_INTERNAL', 'the stream that won is not there'));
          else resolve(winner);
          return;
        }
        case 'abandon':
          opened.get(effect.id)?.forget();
          lives.get(effect.id)?.abort('client-closed');
          return;
        case 'fail':
          end();
          reject(effect.error);
          return;
        default:
          effect satisfies never;
      }
    };
    const attempt = async (id: number, not: readonly InstanceId[]) => {
      const life = new AbortController();
      lives.set(id, life);
      let routed: Routed;
      try {
        routed = await parts.route(stream, not, life.signal);
      } catch (reason) {
        take({ kind: 'route-failed', id, error: asPamError(reason) });
        return;
      }
      take({ kind: 'routed', id, instance: routed.instance, probe: routed.probe });
      if (life.signal.aborted) return;
      try {
        const result = await routed.connect(() => take({ kind: 'answered', id }), life.signal);
        if (result.kind === 'refused') {
          take({ kind: 'refused', id, class: result.class, error: result.error });
          return;
        }
        opened.set(id, result.stream);
        take({ kind: 'opened', id });
      } catch (reason) {
        take({ kind: 'failed', id, error: asPamError(reason) });
      }
    };
    signal.addEventListener('abort', interrupt, { once: true });
    if (signal.aborted) interrupt();
    else take({ kind: 'start' });
  });
}

function asPamError(reason: unknown): PamError {
  return PamError.from(
    reason,
    'PAM_INTERNAL',
    reason instanceof Error ? reason.message : 'the stream could not be opened',
  );
}
