import type { Duplex } from 'node:stream';
import { PamError } from '@sallyport/protocol';
import { type Reply, replyReader } from './reply.ts';

export type Command = readonly string[];

function encode(command: Command): string {
  return `*${command.length}\r\n${command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join('')}`;
}

interface Waiting {
  readonly replies: Reply[];
  readonly count: number;
  readonly resolve: (replies: readonly Reply[]) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Commands over one stream: what is asked together goes out as one, the answers come in its order.
 *
 * C1 one question at a time; an answer that nobody asked for ends the connection.
 * C2 nothing is ever sent again.
 */
export class RedisConnection {
  readonly #stream: Duplex;
  #waiting: Waiting | null = null;
  #over: PamError | null = null;

  constructor(stream: Duplex) {
    this.#stream = stream;
    const read = replyReader();
    stream.on('data', (chunk: Buffer) => {
      try {
        for (const reply of read(chunk)) this.#take(reply);
      } catch (reason) {
        this.destroy(PamError.from(reason, 'PAM_TARGET_RESET', 'the server does not speak the protocol of Redis'));
      }
    });
    const lost = (): void => this.destroy(new PamError('PAM_TARGET_RESET', 'the server closed the connection'));
    stream.on('end', lost).on('close', lost).on('error', lost);
    // Dialled streams come paused, on purpose, and a listener alone does not wake them.
    stream.resume();
  }

  #take(reply: Reply): void {
    const waiting = this.#waiting;
    if (waiting === null) throw new PamError('PAM_TARGET_RESET', 'the server answered what it was not asked');
    waiting.replies.push(reply);
    if (waiting.replies.length < waiting.count) return;
    this.#waiting = null;
    waiting.resolve(waiting.replies);
  }

  /** @throws PAM_TARGET_RESET when the connection is lost: whether the commands were carried out is not known then. */
  ask(commands: readonly Command[]): Promise<readonly Reply[]> {
    return new Promise((resolve, reject) => {
      if (this.#over !== null) return reject(this.#over);
      if (this.#waiting !== null) return reject(new PamError('PAM_INTERNAL', 'two questions at once'));
      this.#waiting = { replies: [], count: commands.length, resolve, reject };
      this.#stream.write(commands.map(encode).join(''));
    });
  }

  async askOne(...command: Command): Promise<Reply> {
    const [reply] = await this.ask([command]);
    return reply ?? { kind: 'nothing' };
  }

  destroy(reason: PamError = new PamError('PAM_TARGET_RESET', 'the connection was given up')): void {
    this.#over ??= reason;
    this.#waiting?.reject(this.#over);
    this.#waiting = null;
    this.#stream.destroy();
  }

  /** Ends it in good order, at the latest when `giveUp` is called. */
  async close(schedule: (giveUp: () => void) => () => void): Promise<void> {
    if (this.#stream.destroyed) return;
    const gone = new Promise<void>((resolve) => void this.#stream.once('close', () => resolve()));
    const cancel = schedule(() => this.destroy());
    this.#stream.end();
    await gone;
    cancel();
  }
}
