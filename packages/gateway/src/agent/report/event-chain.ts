import { PamError } from '@sallyport/protocol';
import { digestOf, eventHash, type SigningKey, signEvent } from '@sallyport/seal';

interface Chain {
  readonly seq: number;
  readonly prev: string;
}
interface Signed {
  readonly content: object;
  readonly text: string;
  readonly next: Chain;
}

/**
 * The instance's own chain of signed events: whatever it tells the router for the audit log goes through here, one at a
 * time, numbered.
 *
 * E2 what the router acknowledged is never signed again under its number: a router that lost it is not helped to hide it.
 *    Then this chain is over, and `onLost` is told; only another identity begins another one.
 */
export interface EventChain {
  /**
   * Signs `content` as the next event and hands it to `send`. The very same `content` object, delivered again after its
   * answer was lost, goes out as it was signed. Rejects with what `send` rejects with.
   */
  deliver<Answer>(
    event: { readonly act: string; readonly on: readonly string[]; readonly content: object },
    send: (signed: string) => Promise<Answer>,
  ): Promise<Answer>;
}

export function createEventChain(
  key: SigningKey,
  nowMs: () => number,
  onLost: (error: PamError) => void = () => undefined,
): EventChain {
  let chain: Chain = { seq: 0, prev: '' };
  let unanswered: Signed | null = null;
  let turn: Promise<unknown> = Promise.resolve();

  async function sign(event: Parameters<EventChain['deliver']>[0], after: Chain): Promise<Signed> {
    const { act, on, content } = event;
    const digest = await digestOf(content);
    const at = Math.floor(nowMs() / 1_000);
    const seq = after.seq + 1;
    const text = await signEvent({ actor: key.id, seq, prev: after.prev, at, act, on: [...on], digest }, key);
    return { content, text, next: { seq, prev: await eventHash(text) } };
  }

  async function deliver<Answer>(
    event: Parameters<EventChain['deliver']>[0],
    send: (signed: string) => Promise<Answer>,
  ): Promise<Answer> {
    let signed = unanswered?.content === event.content ? unanswered : await sign(event, chain);
    for (;;) {
      try {
        const answer = await send(signed.text);
        chain = signed.next;
        unanswered = null;
        return answer;
      } catch (reason) {
        unanswered = signed;
        const stored = storedChain(reason);
        if (stored !== null && stored.seq < chain.seq) onLost(lost(stored.seq, chain.seq));
        if (stored === null || stored.seq < chain.seq || stored.seq === signed.next.seq - 1) throw reason;
        chain = stored;
        signed = await sign(event, stored);
      }
    }
  }

  return {
    deliver: (event, send) => {
      const mine = turn.then(() => deliver(event, send));
      turn = mine.catch(() => undefined);
      return mine;
    },
  };
}

function lost(stored: number, acknowledged: number): PamError {
  const message = `the router knows ${stored} events of this instance; ${acknowledged} were acknowledged`;
  return new PamError('PAM_AUDIT_BROKEN', message, { detail: { stored, acknowledged } });
}

/** Where the router says our chain stands, when it lost count of it. */
function storedChain(reason: unknown): Chain | null {
  if (!(reason instanceof PamError) || reason.code !== 'PAM_AUDIT_SEQUENCE') return null;
  const { stored, storedHash } = reason.detail;
  return typeof stored === 'number' && typeof storedHash === 'string' ? { seq: stored, prev: storedHash } : null;
}
