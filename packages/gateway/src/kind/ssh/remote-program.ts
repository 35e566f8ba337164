import type { KindIo } from '@sallyport/rotation';
import type { ClientChannel } from 'ssh2';
import { plainMessage } from './plain-message.ts';
import { commandFor, readyLine, sudoQuestion } from './program-text.ts';
import { type SshConnection, type SshLogin, secretsOf } from './ssh-login.ts';

/** Output of a program that is kept, in characters of each stream; what is more is read and dropped. */
const keptChars = 65_536;
/** A host that prints more than this, on both streams together, is not listened to any longer. */
const maxReadBytes = 16_777_216;
/** From asking for the program until it reads: sudo may ask a directory server first. */
const startWithinMs = 15_000;
/** What a network may add to the limit that the target itself holds. */
const graceMs = 5_000;
/** How long an output may stay open after its program: something that was left running holds it. */
const closeWithinMs = 2_000;

export type RunEnd =
  /** `code` null: ended by `signal`. */
  | {
      readonly kind: 'ended';
      readonly code: number | null;
      readonly signal: string | null;
      readonly stdout: string;
      readonly stderr: string;
    }
  /** It was never started with its input: nothing of it happened. */
  | { readonly kind: 'not-started'; readonly message: string }
  /** The input went out, and nobody knows how it ended. */
  | { readonly kind: 'lost'; readonly message: string };

/** A program that stands ready on the host and has read nothing yet. */
export interface ArmedProgram {
  /** Still there, as far as known. */
  isReady(): boolean;
  /**
   * Sends the values, one a line, in this very turn, and waits for the end. Once only.
   *
   * @param limitMs - whole seconds are taken, at least one: the target ends it by itself after that.
   */
  run(values: readonly string[], limitMs: number, signal: AbortSignal): Promise<RunEnd>;
  drop(): void;
}

export type Arming = { readonly kind: 'armed'; readonly program: ArmedProgram } | (RunEnd & { kind: 'not-started' });

/** A program as its text, and how much of what it prints is wanted (characters of each stream). */
export interface ProgramText {
  readonly program: string;
  readonly inner?: string;
  readonly keepChars?: number;
}

/** A connection, and who is logged in on it. */
export interface SshHost {
  readonly connection: SshConnection;
  readonly login: SshLogin;
  readonly io: KindIo;
}

/** Puts a program in place, as root (sudo's question is answered once, with the login's own password) or as the login. */
export async function armProgram(
  host: SshHost,
  as: 'root' | 'self',
  text: ProgramText,
  signal: AbortSignal,
): Promise<Arming> {
  const channel = await openChannel(host, commandFor(as, text.program, text.inner), signal);
  return typeof channel === 'string'
    ? { kind: 'not-started', message: channel }
    : waitUntilReady(host, channel, text.keepChars ?? keptChars, signal);
}

/** Opens a channel that runs `command`; a text says why there is none. */
export function openChannel(
  { connection, io }: Pick<SshHost, 'connection' | 'io'>,
  command: string,
  signal: AbortSignal,
  terminal = false,
): Promise<ClientChannel | string> {
  const { promise, resolve } = Promise.withResolvers<ClientChannel | string>();
  const settle = (answer: ClientChannel | string): void => {
    cancel();
    signal.removeEventListener('abort', onAbort);
    connection.client.off('close', onClose);
    resolve(answer);
  };
  const onAbort = (): void => settle('stopped');
  const onClose = (): void => settle('the connection was lost');
  const cancel = io.schedule(startWithinMs, () => settle('the server opened no channel in time'));
  if (signal.aborted) onAbort();
  else if (connection.isOver()) onClose();
  else {
    signal.addEventListener('abort', onAbort, { once: true });
    connection.client.once('close', onClose);
    try {
      const options = terminal ? { pty: { term: 'dumb', cols: 200, rows: 50, width: 0, height: 0 } } : {};
      connection.client.exec(command, options, (error, channel) => {
        if (error) settle(plainMessage(error.message));
        else settle(channel);
      });
    } catch (reason) {
      settle(plainMessage(reason instanceof Error ? reason.message : 'no channel'));
    }
  }
  return promise;
}

function waitUntilReady(
  host: SshHost,
  channel: ClientChannel,
  keepChars: number,
  signal: AbortSignal,
): Promise<Arming> {
  const { promise, resolve } = Promise.withResolvers<Arming>();
  const output = collectOutput(channel, keepChars);
  let answered = false;
  const settle = (arming: Arming): void => {
    cancel();
    signal.removeEventListener('abort', onAbort);
    output.watch(null);
    if (arming.kind === 'not-started') channel.destroy();
    resolve(arming);
  };
  const no = (message: string): void => settle({ kind: 'not-started', message });
  const said = (): string =>
    plainMessage(output.stderr().replaceAll(sudoQuestion, ' '), secretsOf(host.login.credential));
  const onAbort = (): void => no('stopped');
  const cancel = host.io.schedule(startWithinMs, () => no('the program did not start in time'));
  signal.addEventListener('abort', onAbort, { once: true });

  output.watch(() => {
    if (output.stdout().startsWith(`${readyLine}\n`)) {
      settle({ kind: 'armed', program: armed(host, channel, output) });
    } else if (output.isOverflown()) {
      no(tooMuch);
    } else if (output.ended() !== null) {
      no(said() || 'the program could not be started');
    } else if (output.stderr().split(sudoQuestion).length > (answered ? 2 : 1)) {
      if (answered || host.login.credential.kind !== 'password')
        return no(answered ? 'sudo refused the password' : 'sudo asks for a password, and the login has none');
      answered = true;
      channel.write(`${host.login.credential.password.reveal()}\n`);
    }
  });
  return promise;
}

function armed(host: SshHost, channel: ClientChannel, output: Output): ArmedProgram {
  let isUsed = false;
  return {
    isReady: () => !isUsed && output.ended() === null && !host.connection.isOver(),
    drop: () => channel.destroy(),
    async run(values, limitMs, signal) {
      if (isUsed || output.ended() !== null || host.connection.isOver() || signal.aborted)
        return { kind: 'not-started', message: 'the connection to the program was lost' };
      isUsed = true;
      const seconds = Math.max(1, Math.floor(limitMs / 1_000) - 1);
      channel.end([String(seconds), ...values, ''].join('\n'));
      return untilEnd(host.io, channel, output, limitMs + graceMs, signal);
    },
  };
}

function untilEnd(
  io: KindIo,
  channel: ClientChannel,
  output: Output,
  withinMs: number,
  signal: AbortSignal,
): Promise<RunEnd> {
  const { promise, resolve } = Promise.withResolvers<RunEnd>();
  let cancelClose = (): void => undefined;
  const settle = (end: RunEnd): void => {
    cancel();
    cancelClose();
    signal.removeEventListener('abort', onAbort);
    output.watch(null);
    channel.destroy();
    resolve(end);
  };
  const settleEnded = ({ code, signal: by }: Exit): void => {
    const stdout = output.stdout().replace(`${readyLine}\n`, '');
    settle({ kind: 'ended', code, signal: by, stdout, stderr: output.stderr() });
  };
  const onAbort = (): void => settle({ kind: 'lost', message: 'stopped before the program answered' });
  const cancel = io.schedule(withinMs, () => settle({ kind: 'lost', message: 'the program did not answer in time' }));
  signal.addEventListener('abort', onAbort, { once: true });
  let isClosing = false;
  output.watch(() => {
    if (output.isOverflown()) return settle({ kind: 'lost', message: tooMuch });
    const ended = output.ended();
    if (ended !== null) {
      if (ended.code !== null || ended.signal !== null) return settleEnded(ended);
      return settle({ kind: 'lost', message: 'the connection was lost before the program answered' });
    }
    const exited = output.exited();
    if (exited === null || isClosing) return;
    isClosing = true;
    cancelClose = io.schedule(closeWithinMs, () => settleEnded(exited));
  });
  return promise;
}

const tooMuch = `the host printed more than ${maxReadBytes / 1_048_576} MiB`;

interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

interface Output {
  stdout(): string;
  stderr(): string;
  /** Code and signal once the channel is closed; both null: it closed without a word. */
  ended(): Exit | null;
  /** Code and signal as soon as they are told; its outputs may still be open. */
  exited(): Exit | null;
  /** More came than anybody listens to. */
  isOverflown(): boolean;
  /** Called now and after every change, until another takes its place. */
  watch(look: (() => void) | null): void;
}

/** Reads a channel to its end, keeps the beginning of both outputs. */
export function collectOutput(channel: ClientChannel, keepChars = keptChars): Output {
  let watcher: (() => void) | null = null;
  let exit: Exit | null = null;
  let closed = false;
  let readBytes = 0;
  const keep = (stream: NodeJS.ReadableStream): (() => string) => {
    const decoder = new TextDecoder();
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      readBytes += chunk.length;
      const more = decoder.decode(chunk, { stream: true });
      if (text.length < keepChars) text = (text + more).slice(0, keepChars);
      watcher?.();
    });
    return () => text;
  };
  const [stdout, stderr] = [keep(channel), keep(channel.stderr)];
  channel.on('exit', (code: number | null, signal?: string) => {
    exit = { code, signal: signal ?? null };
    watcher?.();
  });
  channel.on('error', () => channel.destroy());
  channel.on('close', () => {
    closed = true;
    watcher?.();
  });
  return {
    stdout,
    stderr,
    ended: () => (closed ? (exit ?? { code: null, signal: null }) : null),
    exited: () => exit,
    isOverflown: () => readBytes > maxReadBytes,
    watch(look) {
      watcher = look;
      look?.();
    },
  };
}

/** How a program ended, for the operator. */
export function describeEnd(end: RunEnd, secrets: readonly string[]): string {
  return end.kind === 'ended' ? plainMessage(end.stderr, secrets) || `exit code ${end.code}` : end.message;
}

/** Puts a program in place and runs it at once. */
export async function runProgram(
  host: SshHost,
  as: 'root' | 'self',
  text: ProgramText,
  order: { readonly values: readonly string[]; readonly limitMs: number },
  signal: AbortSignal,
): Promise<RunEnd> {
  const arming = await armProgram(host, as, text, signal);
  return arming.kind === 'armed' ? arming.program.run(order.values, order.limitMs, signal) : arming;
}
