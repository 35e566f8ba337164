import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/**
 * `docs/threat-model.md` defines each claim and limit as a paragraph that begins with its id in bold (**C1**, **L1**).
 * A test that shows one names it in its title: `test('[C1] …')`. A paragraph that no program can show says *stated*.
 */
const root = join(import.meta.dirname, '..');
const page = readFileSync(join(root, 'docs/threat-model.md'), 'utf8');
const paragraphs = page.split(/\n\n+/).filter((text) => /^\*\*[CL]\d+\*\*/.test(text));
const defined = paragraphs.map((text) => /^\*\*([CL]\d+)\*\*/.exec(text)?.[1] ?? '');
const stated = paragraphs
  .filter((text) => text.includes('*stated*'))
  .map((text) => /^\*\*([CL]\d+)\*\*/.exec(text)?.[1]);

/** Ids at the beginning of a title: the first string after an opening bracket. */
const citation = /\(\s*['"`]((?:\[[CL]\d+\] )+)/g;
const citationsIn = (source: string): string[] =>
  [...source.matchAll(citation)].flatMap(([, ids = '']) => ids.match(/[CL]\d+/g) ?? []);
const cited = new Set(
  globSync('{packages/*/{src,test},e2e,test,scripts}/**/*.test.ts', { cwd: root })
    .filter((path) => !path.endsWith('threat-model.test.ts'))
    .flatMap((path) => citationsIn(readFileSync(join(root, path), 'utf8'))),
);

test('a citation is read from every form of a test, and from nothing else', () => {
  expect(citationsIn("test('[C1] x', () => {")).toEqual(['C1']);
  expect(citationsIn("])('[C2] [L3] %s', async")).toEqual(['C2', 'L3']);
  expect(citationsIn('test.each(rows)(\n  `[C4] ${x}`,')).toEqual(['C4']);
  expect(citationsIn('// [C5] is not shown here')).toEqual([]);
});

test('claims and limits are numbered without a gap, once each', () => {
  for (const letter of ['C', 'L']) {
    const own = defined.filter((id) => id.startsWith(letter));
    expect(own).toEqual(own.map((_, at) => `${letter}${at + 1}`));
    expect(own.length).toBeGreaterThan(5);
  }
});

test('every claim and limit of the threat model is shown by a test that names it, or says that it is only stated', () => {
  expect(defined.filter((id) => !cited.has(id) && !stated.includes(id))).toEqual([]);
});

test('a claim is never merely stated, and what is shown is not called stated', () => {
  expect(stated.filter((id) => id?.startsWith('C') === true || cited.has(id ?? ''))).toEqual([]);
});

test('no test names a claim or limit that the threat model does not have', () => {
  expect([...cited].filter((id) => !defined.includes(id))).toEqual([]);
});
