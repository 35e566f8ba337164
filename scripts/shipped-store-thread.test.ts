import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { asInBundle, starter } from './shipped-store-thread.ts';

const code = readFileSync(join(resolve(import.meta.dirname, '..'), starter), 'utf8');

test('the thread that tests start is the one in the bundle', () => {
  const told = asInBundle(code, process.env['SALLYPORT_TEST_PROGRAMS']);
  expect(told).not.toContain('import.meta');
  const [, there = ''] = /"(file:[^"]+)"\.endsWith\('\.ts'\)/.exec(told) ?? [];
  expect(existsSync(fileURLToPath(new URL('./sqlite-worker.mjs', there)))).toBe(true);
});

test('without programs, or of a module that asks otherwise, it does not fall back to the sources', () => {
  expect(() => asInBundle(code, undefined)).toThrow('not built');
  expect(() => asInBundle('export {};', '/programs')).toThrow('does not ask');
});
