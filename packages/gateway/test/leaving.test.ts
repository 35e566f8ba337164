import type { Socket } from 'node:net';
import type { Notice } from '@sallyport/protocol';
import type { StreamOutcome } from '@sallyport/stream';
import { afterEach, expect, test } from 'vitest';
import { type Lab, localPair, startLab } from './lab/lab.ts';

let lab: Lab;
afterEach(async () => {
  await lab.close();
});

const minute = 60_000;
const drain = (deadlineInMs: number, deadlineAtMs = 1) =>
  ({ intent: { kind: 'drain', by: 'operator', deadlineAtMs, deadlineInMs } }) as const;

interface Running {
  readonly user: Socket;
  readonly ended: Promise<StreamOutcome>;
  readonly notices: Notice[];
  /** Resolves when so many notices came. */
  noticed(count: number): Promise<void>;
  /** Sends bytes and waits until they came back. */
  echo(text: string): Promise<void>;
}

/** One stream that echoes, with what its user's end is told. */
async function runStream(): Promise<Running> {
  const opening = await lab.open(await lab.dispatch());
  if (opening.kind !== 'opened') throw new Error(`refused: ${opening.error.message}`);
  const { local, user } = await localPair();
  const notices: Notice[] = [];
  let told = (): void => undefined;
  const ended = opening.stream.splice(local, new AbortController().signal, undefined, (notice) => {
    notices.push(notice);
    told();
  });
  user.on('error', () => undefined);
  return {
    user,
    ended,
    notices,
    noticed: (count) =>
      new Promise((resolve) => {
        told = () => {
          if (notices.length >= count) resolve();
        };
        told();
      }),
    echo: (text) =>
      new Promise((resolve) => {
        let back = '';
        user.on('data', function seen(chunk: Buffer) {
          back += String(chunk);
          if (!back.endsWith(text)) return;
          user.off('data', seen);
          resolve();
        });
        user.write(text);
      }),
  };
}

test('an operator’s drain tells users once, takes nothing new, ends nothing, and leaves when the last stream ended', async () => {
  lab = await startLab();
  const [one, two] = [await runStream(), await runStream()];
  lab.link.notify('link.intent', drain(10 * minute));
  await Promise.all([one.noticed(1), two.noticed(1)]);
  expect(one.notices[0]).toMatchObject({ notice: 'drain', message: expect.stringContaining(lab.instance.id) });
  expect(one.notices[0]?.deadlineInMs).toBeLessThanOrEqual(10 * minute);
  expect(one.notices[0]?.deadlineInMs).toBeGreaterThan(8 * minute);
  expect((await lab.dispatch()).result).toMatchObject({ kind: 'refused', class: 'draining' });
  await one.echo('still here');
  one.user.end();
  expect((await one.ended).reason).toBe('client-closed');
  await two.echo('me too');
  expect(lab.router.byes).toEqual([]);
  two.user.end();
  expect(await lab.instance.left).toBe('drained');
  expect(lab.router.byes).toEqual(['drained']);
  expect([one.notices.length, two.notices.length]).toEqual([1, 1]);
});

test('at the deadline what still runs is reset as drained on both sides, and the instance leaves', async () => {
  lab = await startLab();
  const running = await runStream();
  const reset = new Promise((seen) => running.user.on('error', seen));
  lab.link.notify('link.intent', drain(0));
  const outcome = await running.ended;
  expect(outcome).toMatchObject({ reason: 'drained', error: { code: 'PAM_SESSION_ENDED' } });
  expect(await reset).toMatchObject({ code: 'ECONNRESET' });
  expect(await lab.instance.left).toBe('drained');
  const events = lab.router.events.flatMap((sent) => sent.events);
  expect(events.at(-1)).toMatchObject({ event: 'ended', reason: 'drained' });
});

test('a drain outlives the loss of the link: its deadline is not started anew, and its own is said again', async () => {
  lab = await startLab();
  const running = await runStream();
  lab.instance.drain(10 * minute);
  await running.noticed(1);
  const again = lab.router.nextLink();
  lab.link.cut();
  const link = await again;
  link.notify('link.intent', { intent: { kind: 'drain', by: 'gateway', deadlineAtMs: 9, deadlineInMs: 0 } });
  await running.echo('not ended by the echo of its own word');
  running.user.end();
  expect(await lab.instance.left).toBe('drained');
  expect(lab.router.drains.length).toBeGreaterThanOrEqual(2);
  for (const deadlineInMs of lab.router.drains) expect(deadlineInMs).toBeGreaterThan(8 * minute);
});

test('a stream that was accepted before the drain and opens after it is told as well', async () => {
  lab = await startLab();
  const first = await runStream();
  const accepted = await lab.dispatch();
  lab.link.notify('link.intent', drain(10 * minute));
  await first.noticed(1);
  const opening = await lab.open(accepted);
  if (opening.kind !== 'opened') return expect.unreachable();
  const { local, user } = await localPair();
  const told = new Promise<Notice>((resolve) => {
    void opening.stream.splice(local, new AbortController().signal, undefined, resolve);
  });
  expect((await told).notice).toBe('drain');
  user.on('error', () => undefined).destroy();
  first.user.destroy();
  expect(await lab.instance.left).toBe('drained');
});

test('a cordoned instance refuses without a mark, keeps what runs, and serves again when uncordoned', async () => {
  lab = await startLab();
  const running = await runStream();
  lab.link.notify('link.intent', { intent: { kind: 'cordon' } });
  expect((await lab.dispatch()).result).toMatchObject({ kind: 'refused', class: 'draining' });
  await running.echo('goes on');
  expect(running.notices).toEqual([]);
  lab.link.notify('link.intent', { intent: { kind: 'serve' } });
  expect((await lab.dispatch()).result).toEqual({ kind: 'accepted' });
});

test('a stream that is killed says to its user by whom and why', async () => {
  lab = await startLab();
  const dispatched = await lab.dispatch();
  const opening = await lab.open(dispatched);
  if (opening.kind !== 'opened') return expect.unreachable();
  const { local, user } = await localPair();
  user.on('error', () => undefined);
  const spliced = opening.stream.splice(local, new AbortController().signal);
  // Not from the events of the instance: its word that the stream is open may still be on its way.
  lab.link.notify('stream.end', {
    streams: [dispatched.claims.stream],
    reason: 'killed',
    words: 'by anna: wrong host',
  });
  expect(await spliced).toMatchObject({
    reason: 'killed',
    error: { code: 'PAM_SESSION_KILLED', message: 'the stream was ended by anna: wrong host' },
  });
});
