/**
 * A drain under load: one instance with many streams that each end by themselves, a second one that has just joined;
 * SIGTERM to the first. New connections go on all the while.
 */
import type { Later } from '@sallyport/testkit';
import { newInstallation, newMachine, withPool } from '../../e2e/harness/installation.ts';
import { startTrafficTarget, startTrafficUser, type UserEnd } from '../../e2e/harness/traffic.ts';
import { quantile } from './numbers.ts';

export interface DrainRow {
  readonly streams: number;
  /** Milliseconds from the signal to the end of the last stream, and to the exit of the process. */
  readonly lastStreamMs: number;
  readonly exitMs: number;
  readonly exitCode: number | null;
  /** Streams on the draining instance that lost a byte or were cut. */
  readonly cut: number;
  /** New connections meanwhile, how many of them failed, and the time to their first byte. */
  readonly connections: number;
  readonly failures: number;
  readonly firstByteP99Ms: number;
}

/** Streams last at least so long after the last one was opened. */
const lifeSeconds = 20;
const bytesPerSecond = 1_000;
const openAtOnce = 20;

export async function measureDrain(later: Later, streams: number, progress: (done: string) => void): Promise<DrainRow> {
  const target = await startTrafficTarget(later);
  const installation = await newInstallation(later);
  const config = await withPool(installation, 2);
  await newMachine(installation, 'web1', target);
  const leaving = installation.startInstance('leaving', config);
  await leaving.id();
  const user = await startTrafficUser(later);
  const { port } = await installation.openTunnel('web1');
  const running: Promise<UserEnd>[] = [];
  // The first are opened long before the last: their lives are as much longer.
  const secondsToOpen = Math.ceil(streams / 25);
  for (let n = 0; n < streams; n += openAtOnce) {
    const opened = Array.from({ length: Math.min(openAtOnce, streams - n) }, (_, m) => {
      const bytes = (lifeSeconds + secondsToOpen) * bytesPerSecond;
      return user.open({ id: `drain-${n + m}`, up: bytes, down: bytes, bytesPerSecond }, port);
    });
    await Promise.all(opened.map((stream) => stream.first()));
    running.push(...opened.map((stream) => stream.ended()));
    if ((n + openAtOnce) % 100 === 0) progress(`drain: ${running.length} of ${streams} streams are open`);
  }
  const staying = installation.startInstance('staying', config);
  await staying.id();

  const signalledAtMs = performance.now();
  leaving.child.kill('SIGTERM');
  const exited = leaving.child.exited.then(({ code }) => ({ code, ms: performance.now() - signalledAtMs }));
  const lasts = Promise.all(running).then((ends) => ({ ends, ms: performance.now() - signalledAtMs }));
  let isOver = false;
  void exited.then(() => (isOver = true));
  const firsts: number[] = [];
  let [connections, failures] = [0, 0];
  while (!isOver) {
    connections += 1;
    const stream = user.open({ id: `new-${connections}`, up: 20, down: 20, bytesPerSecond: 0 }, port);
    const end = await stream.ended();
    if (end.how !== 'fin' || end.received !== 20) failures += 1;
    else firsts.push(await stream.first());
  }
  const [{ ends, ms: lastStreamMs }, { code: exitCode, ms: exitMs }] = await Promise.all([lasts, exited]);
  const cut = ends.filter((end) => end.how !== 'fin' || end.wrongAt !== null || end.finAfter !== end.received).length;
  const firstByteP99Ms = quantile(firsts, 0.99);
  return { streams, lastStreamMs, exitMs, exitCode, cut, connections, failures, firstByteP99Ms };
}
