import { PamError } from '@sallyport/protocol';
import type { Frame, FrameKind } from '../frame/frame.ts';
import type { Carrier } from '../run/carrier.ts';
import { interrupted, type Patience } from '../tls/handshake.ts';

/**
 * Waits for the next frame of the opening; PING is answered meanwhile. Afterwards the carrier holds what follows.
 *
 * @param kinds - what version 1 allows now; anything else is PAM_STREAM_PROTOCOL.
 * @throws PAM_STREAM_LOST when the carrier or the other end is gone, PAM_TIMEOUT, or the reason of the signal.
 */
export async function nextFrame<Kind extends FrameKind>(
  carrier: Carrier,
  kinds: readonly Kind[],
  patience: Patience,
): Promise<Extract<Frame, { kind: Kind }>> {
  const { promise, resolve, reject } = Promise.withResolvers<Extract<Frame, { kind: Kind }>>();
  const onAbort = (): void => reject(interrupted(patience.signal));
  const cancel = patience.timers.after(Math.max(0, patience.deadlineAtMs - patience.timers.nowMs()), () =>
    reject(new PamError('PAM_TIMEOUT', `the other end did not send ${kinds.join(' or ')} in time`)),
  );
  patience.signal.addEventListener('abort', onAbort, { once: true });
  if (patience.signal.aborted) onAbort();
  carrier.listen({
    frame(frame) {
      if (frame.kind === 'ping') return carrier.send({ kind: 'pong', token: frame.token });
      carrier.listen(null);
      if (frame.kind === 'reset') return reject(takenBack(frame.text));
      if (!kinds.some((kind) => kind === frame.kind)) return reject(outOfTurn(frame.kind));
      resolve(frame as Extract<Frame, { kind: Kind }>);
    },
    garbled: reject,
    lost: () => reject(new PamError('PAM_STREAM_LOST', 'the other end was lost while the stream was being opened')),
  });
  return promise.finally(() => {
    cancel();
    patience.signal.removeEventListener('abort', onAbort);
    carrier.listen(null);
  });
}

function takenBack(text: string): PamError {
  return new PamError('PAM_STREAM_LOST', `the other end took the stream back while it was being opened: ${text}`);
}

function outOfTurn(kind: FrameKind): PamError {
  return new PamError('PAM_STREAM_PROTOCOL', `the other end sent ${kind} out of turn`);
}
