import type { AfterCounts, PersonUid } from '@sallyport/protocol';
import { expect, test } from 'vitest';
import { troubleAfter } from './trouble.ts';

const none = { done: 0, failed: 0, unknown: 0, skipped: 0 };
const counts = (of: object): AfterCounts => ({ scripts: { ...none, ...of }, services: none });
const anna = 'anna' as PersonUid;
type Job = Parameters<typeof troubleAfter>[0];
const job = (kind: Job['kind'], state: Job['state'], more: Partial<Job> = {}): Job => ({
  ...{ kind, state, why: 'none', person: null, after: null },
  ...more,
});
const every = [null, 'failed', 'missed', 'after'] as const;

test('a rotation that went through cures all, unless what follows it did not', () => {
  for (const known of every) {
    expect(troubleAfter(job('rotate', 'done'), known)).toBeNull();
    expect(troubleAfter(job('rotate', 'done', { after: counts({ done: 2 }) }), known)).toBeNull();
    for (const bad of ['failed', 'unknown', 'skipped']) {
      expect(troubleAfter(job('rotate', 'done', { after: counts({ done: 1, [bad]: 1 }) }), known)).toBe('after');
    }
  }
});

test('a rotation that failed or could not begin is trouble; one that was cancelled or goes on changes nothing', () => {
  for (const known of every) {
    expect(troubleAfter(job('rotate', 'failed', { why: 'denied' }), known)).toBe('failed');
    expect(troubleAfter(job('rotate', 'failed', { why: 'missed' }), known)).toBe('missed');
    expect(troubleAfter(job('rotate', 'attention'), known)).toBeNull();
    for (const state of ['cancelled', 'waiting', 'running'] as const) {
      expect(troubleAfter(job('rotate', state), known)).toBe(known);
    }
  }
});

test('what is run again cures what follows and no failed rotation; a check cures what a person looks at', () => {
  expect(every.map((known) => troubleAfter(job('after', 'done'), known))).toEqual([null, 'failed', 'missed', null]);
  expect(every.map((known) => troubleAfter(job('after', 'failed'), known))).toEqual([
    ...['after', 'failed', 'missed', 'after'],
  ]);
  const opens = job('check', 'done', { person: anna });
  expect(every.map((known) => troubleAfter(opens, known))).toEqual([null, null, null, 'after']);
  for (const known of every) {
    expect(troubleAfter(job('check', 'done'), known)).toBe(known);
    expect(troubleAfter(job('check', 'failed', { person: anna }), known)).toBe(known);
    expect(troubleAfter(job('rehearse', 'failed', { person: anna }), known)).toBe(known);
  }
});
