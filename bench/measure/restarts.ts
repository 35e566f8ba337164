/**
 * The router's death under load: streams that carry bytes both ways through the real programs, `kill -9` of the router
 * and a new one at once, again and again. Every byte is checked at both ends.
 */
import type { Later } from '@sallyport/testkit';
import { newInstallation, newMachine, withPool } from '../../e2e/harness/installation.ts';
import { startTrafficTarget, startTrafficUser, type UserStream } from '../../e2e/harness/traffic.ts';
import { until } from '../../e2e/harness/until.ts';
import { quantile } from './numbers.ts';

export interface RestartRow {
  readonly restarts: number;
  readonly streams: number;
  /** Longest time without a byte of each stream at each restart, ms. */
  readonly stallP50Ms: number;
  readonly stallP99Ms: number;
  readonly stallMaxMs: number;
  /** Time until the new router said that it is ready, ms. */
  readonly readyP50Ms: number;
  /** Streams that ended, of all that ran at a restart; and wrong bytes anywhere. */
  readonly ended: number;
  readonly ran: number;
  readonly wrong: number;
}

const streams = 8;
const bytesPerSecond = 200_000;

export async function measureRestarts(
  later: Later,
  restarts: number,
  progress: (done: string) => void,
): Promise<RestartRow> {
  const target = await startTrafficTarget(later);
  const installation = await newInstallation(later);
  const config = await withPool(installation);
  await newMachine(installation, 'web1', target);
  const instances = ['one', 'two', 'three'].map((name) => installation.startInstance(name, config));
  await Promise.all(instances.map((one) => one.id()));
  const user = await startTrafficUser(later);
  const { port } = await installation.openTunnel('web1');
  let opened = 0;
  // A pool that is not back yet refuses: asked again until it is.
  const open = (): Promise<UserStream> =>
    until('a stream is served', async () => {
      opened += 1;
      const stream = user.open({ id: `restart-${opened}`, up: 2 ** 40, down: 2 ** 40, bytesPerSecond }, port);
      return stream.first().then(
        () => stream,
        () => null,
      );
    });
  let running = await Promise.all(Array.from({ length: streams }, open));
  const stalls: number[] = [];
  const readies: number[] = [];
  let [ended, ran, wrong] = [0, 0, 0];
  for (let n = 1; n <= restarts; n += 1) {
    const before = new Map((await user.report()).map((one) => [one.id, one.received]));
    user.mark();
    const atMs = performance.now();
    await installation.restartRouter('SIGKILL');
    readies.push(performance.now() - atMs);
    ran += running.length;
    const alive: UserStream[] = [];
    for (const stream of running) {
      const { id } = stream.order;
      const now = await until(`${id} goes on or ends`, async () => {
        if (stream.end() !== undefined) return 'ended' as const;
        const one = (await user.report()).find((each) => each.id === id);
        // A second's worth of bytes on: what was in flight at the death does not count.
        return one !== undefined && one.received > (before.get(id) ?? 0) + bytesPerSecond ? one : undefined;
      });
      const sight = now === 'ended' ? stream.end() : now;
      if (sight !== undefined && sight.wrongAt !== null) wrong += 1;
      if (now === 'ended') ended += 1;
      else {
        stalls.push(now.gapMs);
        alive.push(stream);
      }
    }
    while (alive.length < streams) alive.push(await open());
    running = alive;
    if (n % 10 === 0) progress(`router restarts: ${n} of ${restarts}`);
  }
  for (const stream of running) stream.giveUp();
  const atTarget = target.ended().filter((end) => end.wrongAt !== null).length;
  return {
    restarts,
    streams,
    stallP50Ms: quantile(stalls, 0.5),
    stallP99Ms: quantile(stalls, 0.99),
    stallMaxMs: Math.max(...stalls),
    readyP50Ms: quantile(readies, 0.5),
    ended,
    ran,
    wrong: wrong + atTarget,
  };
}
