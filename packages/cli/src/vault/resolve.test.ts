import { expect, test } from 'vitest';
import { resolveName } from './resolve.ts';

const items = [
  { uid: 'A234567890123456789012', title: 'web1' },
  { uid: 'B234567890123456789012', title: 'web2' },
  { uid: 'C234567890123456789012', title: 'web2' },
  { uid: 'D234567890123456789012', title: 'A234567890123456789012' },
];

test('finds by UID before by title', () => {
  expect(resolveName('record', 'A234567890123456789012', items).title).toBe('web1');
});

test('matches titles by every character', () => {
  expect(resolveName('record', 'web1', items).uid).toBe('A234567890123456789012');
  for (const near of ['WEB1', 'web', 'web1 ', '']) {
    expect(() => resolveName('record', near, items)).toThrow(expect.objectContaining({ code: 'PAM_NOT_FOUND' }));
  }
  expect(() => resolveName('record', 'WEB1', items)).toThrow('“web1” differs in capitals');
});

test('never picks one of several: names them all', () => {
  expect(() => resolveName('record', 'web2', items)).toThrow(
    expect.objectContaining({
      code: 'PAM_AMBIGUOUS',
      detail: { uids: 'B234567890123456789012 C234567890123456789012' },
    }),
  );
});
