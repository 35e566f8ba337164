import { parseArgs } from 'node:util';
import { explore } from './explore.ts';
import { bounds, catchMutant, models, mutants } from './scopes.ts';

/**
 * Walks the rotation machine whole within bounds, for every fence, and every mutant of a rule until it is caught. Exits 1
 * if production broke something, was not walked whole, or a mutant was not caught.
 *
 *     npm run test:model -- [--most STATES]
 */
const { values } = parseArgs({ options: { most: { type: 'string', default: '4000000' } } });
const most = Number(values.most);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
let failed = false;
let all = 0;
for (const { name, model } of models) {
  for (const [scope, left] of Object.entries(bounds)) {
    const begun = performance.now();
    const { states, steps, isComplete, broken, trace } = explore(model, left, most);
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
    const end = broken ?? (isComplete ? 'complete, nothing broke' : 'NOT complete');
    say(`${name}, ${scope}: ${states} states, ${steps} steps, ${seconds} s; ${end}`);
    for (const line of trace) say(`    ${line}`);
    failed ||= broken !== null || !isComplete;
    all += states;
  }
}
say(`${all} states of production`);
for (const { name, model } of mutants) {
  const found = catchMutant(model, most);
  say(`mutant ${name}: ${found === null ? 'NOT CAUGHT' : `caught by ${found}`}`);
  failed ||= found === null;
}
process.exit(failed ? 1 : 0);
