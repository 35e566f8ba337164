import { bareCases, type CaseDraft } from './bare-cases.ts';
import { fenceCases } from './fence-cases.ts';
import { hostileCases } from './hostile-cases.ts';
import type { KindCase, KindLab } from './kind-lab.ts';
import { loginCases } from './login-cases.ts';
import { writeCases } from './write-cases.ts';

/**
 * What every target kind is held to, in the tree or in a package: the contract of `TargetKind` against a real server.
 *
 * A case is run by whatever test runner the kind has; it throws where the contract is broken. A case whose abilities the
 * lab has not is given with the reason (`absent`) and is to be shown as skipped with it:
 *
 *     for (const { name, absent, run } of kindCases(lab)) test.skipIf(absent !== null)(name, run);
 */
export function kindCases(lab: KindLab): readonly KindCase[] {
  const drafts: readonly CaseDraft[] = [
    ...bareCases(lab),
    ...hostileCases(lab),
    ...loginCases(lab),
    ...writeCases(lab),
    ...fenceCases(lab),
  ];
  return drafts.map(({ name, needs, run }) => {
    const missing = needs.find((ability) => lab.absent[ability] !== undefined);
    const absent = missing === undefined ? null : (lab.absent[missing] ?? null);
    return { name: absent === null ? name : `${name} (not here: ${absent})`, absent, run };
  });
}
