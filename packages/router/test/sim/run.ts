import { parseArgs } from 'node:util';
import { type Fault, faults } from './faults.ts';
import { simulate } from './simulation.ts';

/**
 * Simulates pools for a while and says how fast and what broke. Exits 1 when production broke something, or when a
 * planted fault was not found.
 *
 *     npm run test:sim -- [--seconds 60] [--seed N] [--hours 1] [--fault none|…] [--sql] [--no-leavings]
 *     npm run test:sim -- --replay SEED [--fault F] [--trace] [--no-leavings]
 *
 * `--no-leavings` leaves out surplus that drains, replacements and clones; a seed then gives the run that it gave before them.
 * `--sql` runs the production transactions on SQLite in memory instead of the production decisions over plain rows.
 */
const { values } = parseArgs({
  allowNegative: true,
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    hours: { type: 'string', default: '1' },
    fault: { type: 'string' },
    replay: { type: 'string' },
    sql: { type: 'boolean', default: false },
    leavings: { type: 'boolean', default: true },
    trace: { type: 'boolean', default: false },
  },
});
const hourMs = 3_600_000;
const backend = values.sql ? 'sql' : 'memory';
const { leavings } = values;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

function faultOf(text: string | undefined): Fault | undefined {
  return faults.find((fault) => fault === text);
}

/** Seeds from `first` on until the time is over; stops at the first that breaks. */
function runFor(seconds: number, first: number, hours: number, fault: Fault): { hours: number; broken: string | null } {
  const until = performance.now() + seconds * 1_000;
  const begun = performance.now();
  let seed = first;
  let picks = 0;
  let storeOps = 0;
  let broken: string | null = null;
  while (performance.now() < until && broken === null) {
    const result = simulate(seed, { ms: hours * hourMs, fault, backend, leavings });
    picks += result.picks;
    storeOps += result.storeOps;
    if (result.broken !== null) broken = `seed ${seed} ${result.broken}`;
    seed += 1;
  }
  const done = (seed - first) * hours;
  const minutes = (performance.now() - begun) / 60_000;
  const { user } = process.cpuUsage();
  say(
    `${fault}: ${done} pool-hours, ${Math.round(done / minutes)} a minute, ${picks} picks, ${storeOps} transactions, ` +
      `${(user / 1e6).toFixed(0)} s CPU so far; ${broken ?? 'nothing broke'}`,
  );
  return { hours: done, broken };
}

const hours = Number(values.hours);
if (values.replay !== undefined) {
  const fault = faultOf(values.fault) ?? 'none';
  const options = { ms: hours * hourMs, fault, backend, leavings } as const;
  const traced = values.trace ? { ...options, trace: say } : options;
  const results = [simulate(Number(values.replay), traced), simulate(Number(values.replay), options)];
  say(JSON.stringify(results[0]));
  if (JSON.stringify(results[0]) !== JSON.stringify(results[1])) {
    say('the same seed gave two runs');
    process.exit(1);
  }
} else {
  const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
  say(`first seed ${seed}; replay one with --replay SEED`);
  let failed = false;
  for (const fault of values.fault === undefined ? faults : faults.filter((name) => name === values.fault)) {
    const seconds = fault === 'none' ? Number(values.seconds) : 20;
    const { broken } = runFor(seconds, seed, hours, fault);
    failed ||= (broken !== null) !== (fault !== 'none');
  }
  process.exit(failed ? 1 : 0);
}
