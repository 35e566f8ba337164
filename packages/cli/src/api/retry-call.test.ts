import { type ErrorCode, errorCatalog, isErrorCode } from '@sallyport/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { callLimits, type FailedCall, nextTry } from './retry-call.ts';

const codes = Object.keys(errorCatalog).filter((code): code is ErrorCode => isErrorCode(code));
const failed = fc.record({
  safe: fc.boolean(),
  attempts: fc.integer({ min: 1, max: 10 }),
  code: fc.constantFrom(...codes),
  sent: fc.boolean(),
  retryAfterMs: fc.option(fc.integer({ min: 0, max: 60_000 })),
});

test('nothing that may have changed something is ever sent again', () => {
  fc.assert(
    fc.property(failed, fc.double({ min: 0, max: 1, noNaN: true }), (call: FailedCall, jitter) => {
      const next = nextTry(call, jitter);
      if (next.kind === 'again') expect(call.safe || !call.sent).toBe(true);
    }),
  );
});

test('tries are counted, waits are bounded, and only what the catalogue calls backoff is tried again', () => {
  fc.assert(
    fc.property(failed, fc.double({ min: 0, max: 1, noNaN: true }), (call: FailedCall, jitter) => {
      const next = nextTry(call, jitter);
      if (next.kind === 'stop') return;
      expect(call.attempts).toBeLessThan(callLimits.attempts);
      expect(errorCatalog[call.code].retry).toBe('backoff');
      expect(next.afterMs).toBeLessThanOrEqual(callLimits.longestWaitMs + callLimits.firstWaitMs);
      expect(next.afterMs).toBeGreaterThanOrEqual(call.retryAfterMs ?? 0);
    }),
  );
});

test('a refused connection is tried again even for a change, a lost answer only for a question', () => {
  const call = { attempts: 1, code: 'PAM_ROUTER_UNREACHABLE', retryAfterMs: null } as const;
  expect(nextTry({ ...call, safe: false, sent: false }, 0).kind).toBe('again');
  expect(nextTry({ ...call, safe: false, sent: true }, 0).kind).toBe('stop');
  expect(nextTry({ ...call, safe: true, sent: true }, 0).kind).toBe('again');
});
