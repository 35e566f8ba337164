/**
 * `npm run chaos -- [--seed N] [--minutes M] [--instances N]`: real programs under faults at random, from a seed that is
 * printed; exit code 1 when something did not hold. `--only kill,freeze` takes some kinds of fault.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createCleanup, requireNetworkLab } from '@sallyport/testkit';
import providePrograms from '../../scripts/provide-programs.ts';
import { runChaos } from './run-chaos.ts';
import { instanceFaults, poolFaults, routerFaults, showFault } from './schedule.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string', default: '2' },
    instances: { type: 'string', default: '3' },
    only: { type: 'string' },
  },
});
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const cleanup = createCleanup();

function numberOf(name: 'seed' | 'minutes' | 'instances', least: number, most: number): number {
  const value = Number(values[name]);
  if (value >= least && value <= most) return value;
  say(`chaos: --${name} is a number from ${least} to ${most}`);
  return process.exit(2);
}

async function run(): Promise<number> {
  const { isMissing } = requireNetworkLab();
  if (isMissing) return 69;
  await providePrograms();
  const seed =
    values.seed === undefined ? process.pid * 1_000 + (process.hrtime()[1] % 1_000) : numberOf('seed', 0, 2 ** 32);
  const ms = numberOf('minutes', 0.1, 600) * 60_000;
  const all = [...instanceFaults, ...poolFaults, ...routerFaults];
  const kinds = all.filter((kind) => values.only?.split(',').includes(kind) ?? true);
  const result = await runChaos(cleanup.later, { seed, ms, instances: numberOf('instances', 1, 20), kinds, say });
  process.stdout.write(`seed ${seed}, ${ms / 60_000} minutes\n`);
  for (const fault of result.schedule) process.stdout.write(`  ${showFault(fault)}\n`);
  const { streams, uses } = result.run;
  const cut = streams.filter(({ user }) => user.how !== 'fin').length;
  const failed = uses.filter(({ isServed }) => !isServed).length;
  process.stdout.write(`${streams.length} streams, ${cut} of them cut; ${uses.length} uses, ${failed} failed\n`);
  for (const { rule, what } of result.violations) process.stdout.write(`${rule} ${what}\n`);
  process.stdout.write(`verdict: ${result.violations.length === 0 ? 'everything held' : 'BROKEN'}\n`);
  if (result.violations.length === 0) return 0;
  const folder = mkdtempSync(join(tmpdir(), `sallyport-chaos-${seed}-`));
  for (const [name, text] of result.logs) writeFileSync(join(folder, `${name}.log`), text);
  writeFileSync(join(folder, 'run.json'), JSON.stringify(result.run, null, 1));
  process.stdout.write(`what everybody said is in ${folder}\n`);
  return 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void cleanup.run().finally(() => process.exit(130)));
}
let code = 1;
try {
  code = await run();
} catch (reason) {
  say(`chaos: ${reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)}`);
} finally {
  await cleanup.run();
}
process.exit(code);
