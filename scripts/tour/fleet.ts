import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** One child of the tour. Its standard input is a pipe it watches: when the tour is gone, so is the child. */
export interface Member {
  readonly name: string;
  readonly pid: number;
  /** Lines it wrote so far, both outputs, at most the last 2,000. */
  readonly lines: readonly string[];
  /** Calls `see` with every line to come, until the returned function is called. */
  onLine(see: (line: string) => void): () => void;
  /** The first line, past or to come, that matches; rejects when the child ends or `withinMs` is over. */
  line(pattern: RegExp, withinMs: number): Promise<string>;
  readonly exited: Promise<void>;
  isAlive(): boolean;
  /** Kills what it may have left behind: processes of its group. */
  endGroup(): void;
  kill(signal: NodeJS.Signals): void;
}

const keptLines = 2_000;
const graceMs = 8_000;

/** Starts programs, keeps their output in `logs/NAME.log`, and ends all of them. */
export class Fleet {
  readonly #logDir: string;
  readonly #members: { readonly member: Member; readonly isBase: boolean }[] = [];

  constructor(logDir: string) {
    this.#logDir = logDir;
    mkdirSync(logDir, { recursive: true, mode: 0o700 });
  }

  start(name: string, command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Member {
    // A group of its own: Ctrl-C reaches the tour alone, which then ends its children in order.
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      detached: true,
    });
    const member = follow(name, child, join(this.#logDir, `${name}.log`));
    this.#members.push({ member, isBase: false });
    return member;
  }

  /** Like `start`, for what the others stand on: it is ended after them. */
  startBase(name: string, command: string, args: readonly string[]): Member {
    const member = this.start(name, command, args);
    this.#members.pop();
    this.#members.push({ member, isBase: true });
    return member;
  }

  /** Ends all of them: first those that others do not stand on, together; then the rest, newest first. */
  async stopAll(): Promise<void> {
    const members = this.#members.splice(0);
    await Promise.all(members.filter(({ isBase }) => !isBase).map(({ member }) => stop(member)));
    for (const { member } of members.filter(({ isBase }) => isBase).toReversed()) await stop(member);
  }
}

async function stop(member: Member): Promise<void> {
  if (member.isAlive()) member.kill('SIGTERM');
  const timer = setTimeout(() => member.kill('SIGKILL'), graceMs);
  await member.exited;
  clearTimeout(timer);
  member.endGroup();
}

function follow(name: string, child: ChildProcess, logFile: string): Member {
  const log = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
  const lines: string[] = [];
  const watchers = new Set<(line: string) => void>();
  const endings = new Set<() => void>();
  let alive = true;
  const see = (line: string): void => {
    log.write(`${line}\n`);
    lines.push(line);
    if (lines.length > keptLines) lines.shift();
    for (const watch of watchers) watch(line);
  };
  for (const stream of [child.stdout, child.stderr]) if (stream) createInterface({ input: stream }).on('line', see);
  child.stdin?.on('error', () => child.stdin?.destroy());
  const exited = new Promise<void>((resolve) => {
    const end = (): void => {
      alive = false;
      for (const ending of endings) ending();
      resolve();
    };
    // Not `close`: a process of its own that it left behind may hold its outputs open.
    child.once('exit', () => setImmediate(end));
    child.once('close', () => log.end());
    child.once('error', (error) => {
      see(error.message);
      if (child.pid === undefined) end();
    });
  });
  const onLine = (watch: (line: string) => void): (() => void) => {
    watchers.add(watch);
    return () => void watchers.delete(watch);
  };

  function line(pattern: RegExp, withinMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        watchers.delete(check);
        endings.delete(ended);
        settle();
      };
      const check = (text: string): void => {
        if (pattern.test(text)) finish(() => resolve(text));
      };
      const fail = (what: string): void => {
        const tail = lines.slice(-8).map((text) => `    ${text}`);
        finish(() => reject(new Error(`${name} ${what}; its last lines (all in ${logFile}):\n${tail.join('\n')}`)));
      };
      const ended = (): void => fail('ended');
      const timer = setTimeout(() => fail(`did not get ready within ${withinMs / 1_000} s`), withinMs);
      endings.add(ended);
      watchers.add(check);
      for (const text of lines) check(text);
      if (!alive) ended();
    });
  }

  return {
    name,
    pid: child.pid ?? -1,
    lines,
    onLine,
    line,
    exited,
    isAlive: () => alive,
    endGroup: () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
      }
    },
    kill: (signal) => void child.kill(signal),
  };
}
