import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Script } from '@sallyport/protocol';
import type { Runtime } from '../../agent/index.ts';
import { redact } from './redact.ts';
import { maxOutputChars, type ScriptEnd } from './script-end.ts';

/** Between asking a script to end and ending it. */
const killAfterMs = 5_000;
/** How long an output may stay open after its script: something that left the group holds it. */
const closeWithinMs = 2_000;
/** Of the gateway's own environment a script sees nothing. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Runs a script on this host: a process group of its own, no shell, its body in a folder that nobody else reads and that
 * is gone afterwards. Never rejects for what the script does.
 */
export async function runOnGateway(
  script: Pick<Script, 'command' | 'body' | 'timeoutSeconds'>,
  given: { readonly line: string; readonly forms: readonly string[] },
  runtime: Pick<Runtime, 'monotonicMs' | 'schedule'>,
): Promise<ScriptEnd> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-script-'));
  try {
    const file = join(folder, 'body');
    const [program = file, ...args] = script.command;
    await writeFile(file, script.body, { mode: 0o700 });
    return await runProcess(
      program,
      script.command.length === 0 ? [] : [...args, file],
      { ...given, folder, limitMs: script.timeoutSeconds * 1_000 },
      runtime,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function runProcess(
  program: string,
  args: readonly string[],
  given: {
    readonly line: string;
    readonly forms: readonly string[];
    readonly folder: string;
    readonly limitMs: number;
  },
  runtime: Pick<Runtime, 'monotonicMs' | 'schedule'>,
): Promise<ScriptEnd> {
  const { promise, resolve } = Promise.withResolvers<ScriptEnd>();
  const startedMs = runtime.monotonicMs();
  const { folder } = given;
  const child = spawn(program, args, {
    ...{ cwd: folder, detached: true, stdio: 'pipe' },
    env: { PATH: path, LANG: 'C.UTF-8', HOME: folder, TMPDIR: folder },
  });
  // A secret that the end of what is kept cuts in two would not be known for one: the longest is read beyond it.
  const keepChars = given.forms.reduce((longest, form) => Math.max(longest, form.length), 0) + maxOutputChars;
  const keep = (stream: NodeJS.ReadableStream): (() => string) => {
    const decoder = new TextDecoder();
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      const more = decoder.decode(chunk, { stream: true });
      if (text.length < keepChars) text = (text + more).slice(0, keepChars);
    });
    return () => redact(text, given.forms, maxOutputChars);
  };
  const [stdout, stderr] = [keep(child.stdout), keep(child.stderr)];
  const end = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // Nobody is left in the group.
    }
  };
  const onProcessExit = (): void => end('SIGKILL');
  let timedOut = false;
  let cancel = runtime.schedule(given.limitMs, () => {
    timedOut = true;
    end('SIGTERM');
    cancel = runtime.schedule(killAfterMs, () => end('SIGKILL'));
  });
  const settle = (exitCode: number | null, signal: string | null, message = ''): void => {
    cancel();
    process.off('exit', onProcessExit);
    const ms = Math.round(runtime.monotonicMs() - startedMs);
    const result = exitCode === 0 && !timedOut ? 'done' : 'failed';
    resolve({ result, exitCode, signal, timedOut, ms, output: `${stdout()}${stderr()}${message}` });
  };
  process.once('exit', onProcessExit);
  // A script need not read its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(given.line);
  child.once('error', (error) => settle(null, null, `it could not be started: ${error.message}`));
  child.once('exit', () => {
    cancel();
    end('SIGKILL');
    cancel = runtime.schedule(closeWithinMs, () => {
      child.stdout.destroy();
      child.stderr.destroy();
    });
  });
  child.once('close', settle);
  return promise;
}
