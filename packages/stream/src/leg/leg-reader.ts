import type { Duplex } from 'node:stream';
import { type LegStatus, legStatus, PamError } from '@sallyport/protocol';
import { breakLeg } from './break-leg.ts';
import type { Timers } from '../run/system-timers.ts';

const names = new Map((Object.keys(legStatus) as LegStatus[]).map((name) => [legStatus[name] as number, name]));

/** Reads what the relay says on a leg, byte exact: what follows MATCHED stays in the socket for TLS. */
export class LegReader {
  readonly #socket: Duplex;
  readonly #timers: Timers;
  readonly #signal: AbortSignal;
  #wake: () => void = () => undefined;
  #failure: PamError | null = null;

  constructor(socket: Duplex, timers: Timers, signal: AbortSignal) {
    this.#socket = socket;
    this.#timers = timers;
    this.#signal = signal;
    socket.on('readable', this.#look);
    for (const name of ['end', 'close', 'error']) socket.on(name, this.#lost);
    signal.addEventListener('abort', this.#abort, { once: true });
    if (signal.aborted) this.#abort();
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Waits for exactly this status; any other is a PAM_LEG_FAILED that names it. */
  async expect(wanted: number, withinMs: number): Promise<void> {
    const [status] = await this.read(1, withinMs);
    if (status === wanted) return;
    const name = names.get(status ?? -1);
    if (name === 'elsewhere') throw this.#broken('elsewhere', { address: await this.#readAddress(withinMs) });
    if (name === 'busy') throw this.#broken('busy', { retryAfterMs: u16(await this.read(2, withinMs)) });
    throw this.#broken(name ?? 'lost', {});
  }

  async read(length: number, withinMs: number): Promise<Uint8Array> {
    const deadlineAtMs = this.#timers.nowMs() + withinMs;
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      const bytes = this.#socket.read(length) as Buffer | null;
      if (bytes !== null && bytes.length === length) return bytes;
      const left = deadlineAtMs - this.#timers.nowMs();
      if (left <= 0) this.fail('timeout');
      else await this.#readable(left);
    }
  }

  /** Gives the socket away, as it is. */
  release(): Duplex {
    this.#detach();
    return this.#socket;
  }

  fail(status: string): void {
    this.#broken(status, {});
  }

  #readable(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#timers.after(withinMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  async #readAddress(withinMs: number): Promise<string> {
    const length = Math.min(u16(await this.read(2, withinMs)), 300);
    return Buffer.from(await this.read(length, withinMs)).toString('utf8');
  }

  #broken(status: string, detail: Record<string, string | number>): PamError {
    this.#failure ??= legFailed(status, `the router answered ${status}`, detail);
    this.#detach();
    breakLeg(this.#socket);
    this.#wake();
    return this.#failure;
  }

  #detach(): void {
    this.#signal.removeEventListener('abort', this.#abort);
    this.#socket.off('readable', this.#look);
    for (const name of ['end', 'close', 'error']) this.#socket.off(name, this.#lost);
  }

  readonly #look = (): void => this.#wake();
  readonly #lost = (): void => this.fail('lost');
  readonly #abort = (): void => {
    this.#failure ??= PamError.from(this.#signal.reason, 'PAM_INTERRUPTED', 'the leg was given up');
    this.fail('lost');
  };
}

export function legFailed(status: string, message: string, detail: Record<string, string | number> = {}): PamError {
  return new PamError('PAM_LEG_FAILED', message, { detail: { status, ...detail } });
}

function u16(bytes: Uint8Array): number {
  return (bytes[0] ?? 0) * 256 + (bytes[1] ?? 0);
}
