import type { PamError } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { instanceName, readDeadline } from './set-intent.ts';

test('a host that the router names cannot steer the terminal', () => {
  const set = { instance: { deviceName: 'vm\u001b[2J', instanceId: 'A'.repeat(22) }, gateway: { title: 'dc1\u0007' } };
  const text = instanceName(set as unknown as Parameters<typeof instanceName>[0]);
  expect(text).not.toMatch(/[\u0000-\u001f]/);
  expect(text).toContain('A'.repeat(22));
});

test('a deadline is whole seconds up to a week, 300 when none is given', () => {
  expect([readDeadline(undefined), readDeadline('0'), readDeadline('604800')]).toEqual([300_000, 0, 604_800_000]);
  for (const text of ['-1', '604801', '1.5', 'soon', '']) {
    expect(() => readDeadline(text)).toThrow(/--deadline/);
    try {
      readDeadline(text);
    } catch (reason) {
      expect((reason as PamError).code).toBe('PAM_USAGE');
    }
  }
});
