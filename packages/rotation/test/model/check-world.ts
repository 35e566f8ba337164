import { isOpen } from '../../src/index.ts';
import { Broken } from './broken.ts';
import type { World } from './world.ts';

/** What must hold in every world, and between one and the next. */
export function checkWorld(before: World, after: World): void {
  const { rows, target, promotions } = after;
  const kept = new Set(rows.versions.map((version) => version.n));
  if (rows.account.current !== null && !target.opens.some((version) => kept.has(version))) {
    throw new Broken('R1 no stored version opens the account');
  }
  const isQuiet = !isOpen(rows.job) && rows.job.state !== 'attention';
  const { current } = rows.account;
  if (isQuiet && current !== null && !after.isLate && !after.isEdited && !target.opens.includes(current)) {
    throw new Broken(`R2 the vault holds ${current}, and ${target.opens.join()} opens`);
  }
  const isExtra = target.opens.length > 1 && !after.isLate && !isOpen(rows.job);
  if (isExtra && rows.account.leftover === null && target.opens.some((version) => version !== current)) {
    throw new Broken(`R10 ${target.opens.join()} opens, and nothing says that more than ${current} does`);
  }
  if (rows.account.epoch < before.rows.account.epoch || rows.account.send < before.rows.account.send) {
    throw new Broken('R5 a number went back');
  }
  for (const write of after.flight) {
    if (!kept.has(write.version)) throw new Broken(`R7 version ${write.version} is written and not stored`);
  }
  if (new Set(rows.job.sends.map((each) => each.send)).size < rows.job.sends.length) {
    throw new Broken('R3 two permits under one number');
  }
  if (promotions > 1) throw new Broken('R7 two promotions in one run');
  for (const version of before.rows.versions) {
    if (!kept.has(version.n)) throw new Broken(`R8 version ${version.n} was removed`);
  }
  if (rows.job.attempts > 3) throw new Broken('I15 a fourth claim without progress');
}
