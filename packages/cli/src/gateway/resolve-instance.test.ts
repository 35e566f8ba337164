import type { InstanceView, PamError } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { resolveInstance } from './resolve-instance.ts';

const one = (instanceId: string, deviceName: string) => ({ instanceId, deviceName }) as InstanceView;
const pool = (instances: readonly InstanceView[]) =>
  ({ title: 'dc1', view: { instances } }) as unknown as Parameters<typeof resolveInstance>[0];
const three = pool([
  one('AAAAAAAAAAAAAAAAAAAAA1', 'alpha'),
  one('AAAAAAAAAAAAAAAAAAAAA2', 'beta'),
  one('BBBBBBBBBBBBBBBBBBBBBB', 'alpha'),
]);
const idOf = (text: string): string => {
  try {
    return resolveInstance(three, text).instanceId;
  } catch (reason) {
    return (reason as PamError).code;
  }
};

test('an instance is named by its id, a beginning that fits only one, or a host that only one runs on', () => {
  expect(idOf('AAAAAAAAAAAAAAAAAAAAA2')).toBe('AAAAAAAAAAAAAAAAAAAAA2');
  expect(idOf('B')).toBe('BBBBBBBBBBBBBBBBBBBBBB');
  expect(idOf('beta')).toBe('AAAAAAAAAAAAAAAAAAAAA2');
});

test('what may mean several is ambiguous and names them; what means none is not found', () => {
  expect(idOf('AA')).toBe('PAM_AMBIGUOUS');
  expect(idOf('alpha')).toBe('PAM_AMBIGUOUS');
  expect(idOf('gamma')).toBe('PAM_NOT_FOUND');
  expect(idOf('')).toBe('PAM_NOT_FOUND');
  expect(() => resolveInstance(three, 'alpha')).toThrow(/AAAAAAAAAAAAAAAAAAAAA1, BBBBBBBBBBBBBBBBBBBBBB/);
});
