import { parseArgs } from 'node:util';
import { faults, findFault } from './faults.ts';
import { simulate } from './simulation.ts';

/**
 * Simulates schedules of a rotation, and every planted fault until it is found. Exits 1 when production broke something,
 * or a fault was not found. Goes on elsewhere with `--first`: the last line says where.
 *
 *     node packages/rotation/test/sim/run.ts [--first 1] [--seeds 100000] | --seed N
 */
const { values } = parseArgs({
  options: {
    first: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '100000' },
    seed: { type: 'string' },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);

if (values.seed !== undefined) {
  const result = simulate(Number(values.seed), { trace: say });
  say(JSON.stringify(result));
  process.exit(result.broken === null ? 0 : 1);
}
const first = Number(values.first);
const most = Number(values.seeds);
let failed = false;
for (const { name, options } of faults) {
  const found = findFault(options, 1, 2_000);
  say(`rotation, planted: ${name}: ${found ?? 'NOT FOUND'}`);
  failed ||= found === null;
}
const begun = process.cpuUsage();
const perMinute = (done: number): number => {
  const { user, system } = process.cpuUsage(begun);
  return Math.round((done * 60e6) / (user + system));
};
for (let seed = first; seed < first + most; seed += 1) {
  const { broken } = simulate(seed);
  const done = seed - first + 1;
  if (broken !== null) {
    say(`rotation: seed ${seed} ${broken}; replay it with --seed ${seed}`);
    process.exit(1);
  }
  if (done % 10_000 === 0) say(`rotation: ${done} seeds, ${perMinute(done)} a CPU-minute; next is --first ${seed + 1}`);
}
say(
  `rotation: ${most} seeds from ${first}, ${perMinute(most)} a CPU-minute, nothing broke; next is --first ${first + most}`,
);
process.exit(failed ? 1 : 0);
