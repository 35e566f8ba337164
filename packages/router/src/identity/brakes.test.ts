import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRateLimit } from './rate-limit.ts';
import { createReplayCache } from './replay-cache.ts';

test('in any time of length t at most burst + t ÷ every attempts of one key pass', () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 200 });
  fc.assert(
    fc.property(
      gaps,
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 100, max: 2_000 }),
      (steps, burst, everyMs) => {
        let nowMs = 0;
        let passed = 0;
        const limit = createRateLimit('attempts', { burst, everyMs }, () => nowMs);
        for (const step of steps) {
          nowMs += step;
          try {
            limit.take('key');
            passed += 1;
          } catch (reason) {
            expect(reason).toMatchObject({ code: 'PAM_RATE_LIMITED' });
          }
        }
        expect(passed).toBeLessThanOrEqual(burst + nowMs / everyMs + 1e-6);
      },
    ),
  );
});

test('one key does not slow another, and the wait that is told is enough', () => {
  let nowMs = 0;
  const limit = createRateLimit('attempts', { burst: 1, everyMs: 1_000 }, () => nowMs, 2);
  limit.take('a');
  limit.take('b');
  expect(() => limit.take('a')).toThrowError(expect.objectContaining({ detail: { retryAfterMs: 1_000 } }));
  nowMs = 1_000;
  expect(() => limit.take('a')).not.toThrow();
});

test('a proof is remembered for the whole window, across its turns', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 1_000 }), (startMs, laterMs) => {
      let nowMs = startMs;
      const cache = createReplayCache(1_000, 10, () => nowMs);
      cache.use('other');
      nowMs += startMs % 999;
      cache.use('jti');
      nowMs += laterMs;
      expect(() => cache.use('jti')).toThrowError(expect.objectContaining({ code: 'PAM_PROOF_INVALID' }));
    }),
  );
});

test('over its capacity nothing is accepted rather than forgotten', () => {
  let nowMs = 0;
  const cache = createReplayCache(1_000, 2, () => nowMs);
  cache.use('a');
  cache.use('b');
  expect(() => cache.use('c')).toThrowError(expect.objectContaining({ code: 'PAM_RATE_LIMITED' }));
  nowMs = 1_000;
  expect(() => cache.use('c')).not.toThrow();
});
