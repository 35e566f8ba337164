import { expect, test } from 'vitest';
import { effectivePermission } from './permissions.ts';

const all = <T>(value: T) => ({ connections: value, tunneling: value, rotation: value, recording: value });

test.each([
  ['default', 'on', true],
  ['on', 'on', true],
  ['off', 'on', false],
  ['default', 'off', false],
  ['on', 'off', false],
  ['off', 'off', false],
] as const)('record %s under configuration %s is %s', (record, configuration, on) => {
  expect(effectivePermission('tunneling', all(record), all(configuration)).on).toBe(on);
});

test('nothing is on without a configuration', () => {
  expect(effectivePermission('tunneling', all('on'), null)).toEqual({ on: false, because: 'no-configuration' });
});
