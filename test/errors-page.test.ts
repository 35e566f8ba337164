import { readFileSync } from 'node:fs';
import { errorCatalog } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { errorPage } from '../scripts/error-page.ts';

const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');

test('docs/errors.md is what the catalogue says (else: npm run docs:errors)', () => {
  expect(page).toBe(errorPage());
});

test('the page and the catalogue list the same codes, each once, each with a remedy', () => {
  const codes = [...page.matchAll(/^\| `(PAM_[A-Z_]+)` \|/gm)].map(([, code]) => code);
  expect(codes).toEqual(Object.keys(errorCatalog));
  expect(
    Object.values(errorCatalog).every(({ remedy, meaning }) => remedy.endsWith('.') && meaning.endsWith('.')),
  ).toBe(true);
});

test('every exit code of the catalogue is explained', () => {
  const explained = new Set([...page.matchAll(/^\| (\d+) \| \w/gm)].map(([, code]) => Number(code)));
  expect(
    [...new Set(Object.values(errorCatalog).map(({ exit }) => exit))].filter((exit) => !explained.has(exit)),
  ).toEqual([]);
});
