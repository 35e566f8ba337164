import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Later } from './cleanup.ts';

/** How a process ended: its exit code, or the signal that ended it. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Turns a command into one that runs it somewhere: in another network namespace, under a limit. */
export type Within = (command: string, args: readonly string[]) => readonly [string, readonly string[]];

export interface ChildOptions {
  /** Where it runs; here when absent. The program must keep the pid of what is spawned. */
  readonly within?: Within | undefined;
  readonly cwd?: string;
  /** Added to (or, with undefined, taken out of) this process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to standard input, which then ends. Without it standard input stays open. */
  readonly input?: string | Uint8Array;
}

export interface WaitOptions {
  readonly from?: 'stdout' | 'stderr';
  /** Real milliseconds; a process that says nothing must not hang a run. */
  readonly withinMs?: number;
}

/** A child of this process: Node reaps it, so it is never a zombie (lab: `kill -0` lies for orphans). */
export interface Child {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  /** First line, past or to come, that matches. Rejects with all output when the process ends first. */
  waitForLine(pattern: RegExp, options?: WaitOptions): Promise<RegExpExecArray>;
  write(text: string): void;
  /** Ends its standard input: what a program with --exit-with-stdin takes for the death of its parent. */
  closeStdin(): void;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<ChildExit>;
  /** SIGTERM, after `graceMs` SIGKILL; resolves when it is gone, at once when it was. */
  stop(graceMs?: number): Promise<ChildExit>;
}

const maxKeptOutput = 8 * 1024 * 1024;

function collect(stream: Readable | null, onLine: () => void): () => string {
  let text = '';
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-maxKeptOutput);
    onLine();
  });
  return () => text;
}

function completeLines(text: string, ended: boolean): string[] {
  const lines = text.split('\n');
  return ended ? lines : lines.slice(0, -1);
}

function exitOf(child: ChildProcess): Promise<ChildExit> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

function describe(exit: ChildExit): string {
  return exit.signal ? `by ${exit.signal}` : `with code ${exit.code}`;
}

/** Starts a program; it is ended at the latest when `later` runs. */
export function startChild(later: Later, command: string, args: readonly string[], options: ChildOptions = {}): Child {
  const [program, argv] = options.within?.(command, args) ?? [command, args];
  const child = spawn(program, argv, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const waiting = new Set<() => void>();
  const look = (): void => {
    for (const check of waiting) check();
  };
  const stdout = collect(child.stdout, look);
  const stderr = collect(child.stderr, look);
  let ending: ChildExit | undefined;
  const exited = exitOf(child).then((exit) => {
    ending = exit;
    look();
    return exit;
  });
  exited.catch(() => look());
  // A child that ends without reading its input is no error of ours.
  child.stdin.on('error', () => child.stdin.destroy());
  if (options.input !== undefined) child.stdin.end(options.input);

  const report = (): string => `${command} ${args.join(' ')}\n--- stdout\n${stdout()}\n--- stderr\n${stderr()}`;

  function waitForLine(pattern: RegExp, { from, withinMs = 30_000 }: WaitOptions = {}): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        waiting.delete(check);
        settle();
      };
      const check = (): void => {
        const texts = from ? [from === 'stdout' ? stdout() : stderr()] : [stdout(), stderr()];
        for (const line of texts.flatMap((text) => completeLines(text, ending !== undefined))) {
          const match = new RegExp(pattern.source, pattern.flags.replace('g', '')).exec(line);
          if (match) return finish(() => resolve(match));
        }
        if (ending) {
          const how = describe(ending);
          finish(() => reject(new Error(`ended ${how} before a line matched ${pattern}: ${report()}`)));
        }
      };
      const timer = setTimeout(
        () => finish(() => reject(new Error(`no line matched ${pattern} within ${withinMs} ms: ${report()}`))),
        withinMs,
      );
      waiting.add(check);
      check();
    });
  }

  async function stop(graceMs = 5_000): Promise<ChildExit> {
    if (ending) return ending;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    try {
      return await exited;
    } finally {
      clearTimeout(timer);
    }
  }

  later(async () => {
    await stop();
  });
  return {
    pid: child.pid ?? -1,
    stdout,
    stderr,
    waitForLine,
    write: (text) => void child.stdin.write(text),
    closeStdin: () => void child.stdin.end(),
    kill: (signal) => void child.kill(signal),
    exited,
    stop,
  };
}

/**
 * Runs a program to its end. Never rejects because of an exit code; rejects when it cannot be started. One that has not ended
 * in time is killed, and its standard error then says where it hung.
 */
export async function runChild(
  command: string,
  args: readonly string[],
  options: ChildOptions & { readonly withinMs?: number } = {},
): Promise<ChildExit & { readonly stdout: string; readonly stderr: string }> {
  const child = startChild(() => {}, command, args, { ...options, input: options.input ?? '' });
  const withinMs = options.withinMs ?? 60_000;
  let note = '';
  const timer = setTimeout(() => {
    note = `\n[killed: it had not ended after ${withinMs} ms; its threads: ${threadsOf(child.pid).join(', ')}]\n`;
    child.kill('SIGKILL');
  }, withinMs);
  try {
    const exit = await child.exited;
    return { ...exit, stdout: child.stdout(), stderr: child.stderr() + note };
  } finally {
    clearTimeout(timer);
  }
}

/** Each thread with its state and the system call that it waits in: how a program hangs that said all it had to say. */
function threadsOf(pid: number): readonly string[] {
  const read = (file: string): string => {
    try {
      return readFileSync(`/proc/${pid}/task/${file}`, 'utf8').trim();
    } catch {
      return '?';
    }
  };
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => {
      const [, state = '?'] = /\) (\w) /.exec(read(`${thread}/stat`)) ?? [];
      return `${read(`${thread}/comm`)} ${state} ${read(`${thread}/syscall`).split(' ')[0]}`;
    });
  } catch {
    return [];
  }
}

/** True while the process runs; a zombie that waits for its parent is not running. */
export function isRunning(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return false;
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return false;
    throw error;
  }
}

/** Children of a process and theirs, by pid. */
export function descendantsOf(pid: number): number[] {
  const file = `/proc/${pid}/task/${pid}/children`;
  if (!existsSync(file)) return [];
  const children = readFileSync(file, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}
