import { PamError, type Script } from '@sallyport/protocol';
import type { Runtime } from '../../agent/index.ts';
import { endLine, type RunEnd, runProgram } from '../../kind/index.ts';
import { formsOfSecrets, redact } from './redact.ts';
import type { Machine } from './machines.ts';

import { maxOutputChars, type ScriptEnd } from './script-end.ts';
import { killAfterSeconds, runScript, startedLine } from './target-programs.ts';

/** What the program around a script may take beside it: to unpack, and to clean up. */
const aroundSeconds = 10;
/** Room for the lines that the program itself prints before. */
const ownLinesChars = 128;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/**
 * Runs a script on a Linux machine, as who is logged in there, under a limit that the machine holds. Never rejects for
 * what the machine does; one that does not answer, or answers without an end, leaves `unknown`.
 */
export async function runOnTarget(
  script: Pick<Script, 'command' | 'body' | 'timeoutSeconds'>,
  { host, secrets }: Machine,
  given: { readonly line: string; readonly forms: readonly string[] },
  runtime: Pick<Runtime, 'monotonicMs'>,
  signal: AbortSignal,
): Promise<ScriptEnd> {
  const forms = [...given.forms, ...formsOfSecrets(secrets)];
  const longest = forms.reduce((most, form) => Math.max(most, form.length), 0);
  const keepChars = longest + maxOutputChars + ownLinesChars;
  const startedMs = runtime.monotonicMs();
  const end = await runProgram(
    host,
    'self',
    { program: runScript, keepChars },
    {
      values: [
        String(script.timeoutSeconds),
        base64(script.body),
        script.command.map(base64).join(' '),
        given.line.trim(),
        endLine,
      ],
      limitMs: (script.timeoutSeconds + killAfterSeconds + aroundSeconds) * 1_000,
    },
    signal,
  );
  const ms = Math.round(runtime.monotonicMs() - startedMs);
  return readEnd(end, script.timeoutSeconds * 1_000, ms, (text) => redact(text, forms, maxOutputChars));
}

function readEnd(end: RunEnd, limitMs: number, ms: number, shown: (text: string) => string): ScriptEnd {
  if (end.kind === 'not-started') throw new PamError('PAM_TARGET_UNREACHABLE', end.message);
  if (end.kind === 'lost') {
    const output = `${end.message}: nobody knows how far it came`;
    return { result: 'unknown', exitCode: null, signal: null, timedOut: false, ms, output };
  }
  const { code, signal, stderr } = end;
  const began = `${startedLine}\n`;
  if (!end.stdout.startsWith(began)) {
    // Before the script nothing has an exit code of its own.
    const why = shown(stderr).trim() || `exit code ${code}`;
    throw new PamError('PAM_TARGET_UNREACHABLE', `the machine could not begin it: ${why}`.slice(0, 512));
  }
  // What `timeout` answers; a script that answers the same does so before its limit.
  const timedOut = (code === 124 || code === 137) && ms >= limitMs;
  const output = `${shown(end.stdout.slice(began.length))}${shown(stderr)}`;
  return { result: code === 0 ? 'done' : 'failed', exitCode: timedOut ? null : code, signal, timedOut, ms, output };
}
