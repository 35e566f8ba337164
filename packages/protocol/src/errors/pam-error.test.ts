import { expect, test } from 'vitest';
import { PamError } from './pam-error.ts';

test('an error of another copy of the module is one too, and nothing else is', async () => {
  const copy = './pam-error.ts?another';
  const other = (await import(/* @vite-ignore */ copy)) as { readonly PamError: typeof PamError };
  expect(other.PamError).not.toBe(PamError);
  const theirs = new other.PamError('PAM_TARGET_TIMEOUT', 'late');
  expect(theirs).toBeInstanceOf(PamError);
  expect(PamError.from(theirs, 'PAM_INTERNAL', 'whatever')).toBe(theirs);
  for (const value of [new Error('late'), { code: 'PAM_TARGET_TIMEOUT' }, null, 'PAM_TARGET_TIMEOUT'])
    expect(value instanceof PamError).toBe(false);
});
