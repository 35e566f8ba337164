import type { ApplyOutcome, KindIo, WriteOrder } from '@sallyport/rotation';
import { plainMessage } from '../ssh/plain-message.ts';
import { collectOutput, openChannel } from '../ssh/remote-program.ts';
import type { SshConnection } from '../ssh/ssh-login.ts';
import { type DialogueState, judgeEnd, stepDialogue } from './change-dialogue.ts';

/** What a network may add to the limit that the target itself holds. */
const graceMs = 5_000;

/**
 * passwd says the same of a file system without write access as of a wrong old password, so that is looked at first.
 * --foreground: passwd reads the terminal, which a process group in the background may not.
 */
const program = `export LC_ALL=C
if findmnt -no OPTIONS -T /etc/shadow 2>/dev/null | grep -qE "(^|,)ro(,|$)"; then echo "/etc is mounted read-only"; exit 28; fi
exec timeout --foreground -k 1 "$1" passwd`;
const command = (seconds: number): string => `exec /bin/sh -c '${program}' sallyport ${seconds}`;

/** The account changes its own password by `passwd` on a terminal. Both passwords go out only when they are asked for. */
export async function changeOwn(
  host: { readonly connection: SshConnection; readonly io: KindIo },
  order: { readonly old: string; readonly next: string; readonly limitMs: WriteOrder['limitMs'] },
  signal: AbortSignal,
): Promise<ApplyOutcome> {
  const seconds = Math.max(1, Math.floor(order.limitMs / 1_000) - 1);
  const channel = await openChannel(host, command(seconds), signal, true);
  if (typeof channel === 'string') return { kind: 'unknown', message: `passwd was not started: ${channel}` };
  const output = collectOutput(channel);
  const { promise, resolve } = Promise.withResolvers<ApplyOutcome>();
  let state: DialogueState = 'start';
  let readChars = 0;
  const settle = (outcome: ApplyOutcome): void => {
    cancel();
    signal.removeEventListener('abort', onAbort);
    output.watch(null);
    channel.destroy();
    resolve(
      'message' in outcome ? { ...outcome, message: plainMessage(outcome.message, [order.old, order.next]) } : outcome,
    );
  };
  const onAbort = (): void => settle({ kind: 'unknown', message: 'stopped before passwd ended' });
  const cancel = host.io.schedule(order.limitMs + graceMs, () =>
    settle({ kind: 'unknown', message: 'passwd did not end in time' }),
  );
  signal.addEventListener('abort', onAbort, { once: true });
  output.watch(() => {
    const text = output.stdout().slice(readChars).replaceAll('\r', '');
    const ended = output.ended();
    if (ended !== null) return settle(judgeEnd(state, ended.code, text));
    const step = stepDialogue(state, text);
    if (step.do === 'stop') return settle(step.outcome);
    if (step.do === 'wait') return;
    readChars = output.stdout().length;
    state = step.state;
    channel.write(`${step.with === 'old' ? order.old : order.next}\n`);
  });
  return promise;
}
