import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { inTreeKinds, loadKinds } from '../../src/kind/index.ts';

const page = readFileSync(new URL('../../../../docs/rotation-targets.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| `([a-z-]+)`.*$/gm)].map(([row, name = '']) => ({ name, cells: row.split(' | ') }));
const kinds = await loadKinds(['@sallyport/kind-sqlserver', '@sallyport/kind-mongodb'], inTreeKinds);

test.each(kinds.map(({ description }) => description))(
  'docs/rotation-targets.md says of $name what pam rotation targets says',
  ({ name, fence, triedAgainst }) => {
    const found = rows.filter((row) => row.name === name);
    expect(found).toHaveLength(1);
    const [, , admin = '', own = '', tried = ''] = found[0]?.cells ?? [];
    for (const [cell, said] of [
      [admin, fence.admin],
      [own, fence.own],
    ] as const)
      expect(cell).toContain(said === null ? 'cannot' : `\`${said}\``);
    expect(tried.replace(/ \|$/, '')).toBe(triedAgainst ?? '**not tried** against a real server');
    expect(page).toContain(`\n## ${name}\n`);
  },
);
