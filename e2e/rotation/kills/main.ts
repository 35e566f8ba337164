/**
 * `npm run test:kills -- [--kind postgresql,…] [--only CALL] [--every N] [--skip N] [--first N]`: rotations of real accounts while
 * instance, router and target are killed or frozen at every step, alone and in pairs. Prints every run and their count; exit code 1 when
 * something did not hold.
 */
import { parseArgs } from 'node:util';
import { createCleanup } from '@sallyport/testkit';
import providePrograms from '../../../scripts/provide-programs.ts';
import { allCases } from './cases.ts';
import { accountLabs } from './labs.ts';
import { type KillReport, runKills } from './run-kills.ts';

const { values } = parseArgs({
  options: {
    kind: { type: 'string' },
    only: { type: 'string' },
    every: { type: 'string' },
    skip: { type: 'string' },
    first: { type: 'string' },
  },
});
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const cases = allCases
  .filter(({ call }) => values.only === undefined || call === values.only)
  .filter((_, index) => index % Number(values.every ?? 1) === 0)
  .slice(Number(values.skip ?? 0))
  .slice(0, Number(values.first ?? allCases.length));
const kinds = values.kind?.split(',') ?? Object.keys(accountLabs);
const outer = createCleanup();

async function run(): Promise<number> {
  await providePrograms();
  const reports: KillReport[] = [];
  for (const kind of kinds) {
    const one = accountLabs[kind];
    const why =
      one === undefined ? `there is no such lab; there are ${Object.keys(accountLabs).join(', ')}` : await one.whyNot();
    if (one === undefined || why !== null) {
      say(`${kind} is left out: ${why}`);
      continue;
    }
    const own = createCleanup();
    outer.later(own.run);
    reports.push(await runKills(own.later, await one.start(own.later), cases, say));
    await own.run();
  }
  for (const { kind, runs, hit, done, attention, failed, broken } of reports) {
    process.stdout.write(
      `${kind}: ${runs} runs, ${hit} of them hit at their point; ${done} done, ${attention} need attention, ${failed} failed or cancelled; ${broken.length} broken\n`,
    );
    for (const what of broken) process.stdout.write(`  ${what}\n`);
  }
  const total = reports.reduce((sum, { runs }) => sum + runs, 0);
  process.stdout.write(`${total} runs in all\n`);
  const missed = reports.filter(({ hit }) => hit === 0).map(({ kind }) => kind);
  if (missed.length > 0) say(`no run reached its point, so nothing is shown for: ${missed.join(', ')}`);
  return total > 0 && missed.length === 0 && reports.every(({ broken }) => broken.length === 0) ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void outer.run().finally(() => process.exit(130)));
}
let code = 1;
try {
  code = await run();
} catch (error) {
  say(`kills: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
} finally {
  await outer.run();
}
process.exit(code);
