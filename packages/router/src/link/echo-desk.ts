import { PamError } from '@sallyport/protocol';

/** Which echo tickets came back through the data port: an instance that cannot reach it must not be admitted. */
export interface EchoDesk {
  /** Before the instance is told the ticket: its echo comes before its hello does. */
  expect(ticket: string): void;
  echoed(ticket: string): void;
  /** Resolves when the ticket came back. @throws PAM_LEG_FAILED after `waitMs`. */
  wait(ticket: string): Promise<void>;
  forget(ticket: string): void;
}

/** @param waitMs - the relay is another process: its word may come a little after the instance's. */
export function createEchoDesk(waitMs: number, after: (ms: number, fn: () => void) => () => void): EchoDesk {
  const open = new Map<string, { came: boolean; tell: () => void }>();
  return {
    expect: (ticket) => {
      open.set(ticket, { came: false, tell: () => undefined });
    },
    echoed: (ticket) => {
      const known = open.get(ticket);
      if (known === undefined) return;
      known.came = true;
      known.tell();
    },
    wait: (ticket) => {
      const known = open.get(ticket);
      if (known === undefined) return Promise.reject(new PamError('PAM_LEG_FAILED', 'the link closed meanwhile'));
      if (known.came) return Promise.resolve();
      return new Promise((resolve, reject) => {
        const cancel = after(waitMs, () =>
          reject(
            new PamError('PAM_LEG_FAILED', 'the instance did not prove that it reaches the data port', {
              detail: { why: 'no-echo' },
            }),
          ),
        );
        known.tell = () => {
          cancel();
          resolve();
        };
      });
    },
    forget: (ticket) => {
      open.delete(ticket);
    },
  };
}
