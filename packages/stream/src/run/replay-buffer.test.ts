import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReplayBuffer } from './replay-buffer.ts';

const act = fc.oneof(
  fc.record({ kind: fc.constant('keep' as const), length: fc.integer({ min: 1, max: 70_000 }) }),
  fc.record({ kind: fc.constant('release' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
);

test('gives back what was kept and not released, byte for byte, and holds little more', () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
      const buffer = new ReplayBuffer();
      let model: number[] = [];
      let from = 0;
      let most = 0;
      for (const one of acts) {
        if (one.kind === 'keep') {
          const bytes = Uint8Array.from({ length: one.length }, (_, i) => (from + model.length + i) * 31);
          buffer.keep(bytes);
          model = [...model, ...bytes];
          bytes.fill(0);
        } else {
          const count = Math.floor(one.share * model.length);
          model = model.slice(count);
          from += count;
          buffer.release(from);
        }
        most = Math.max(most, model.length);
        expect(buffer.bytes).toBe(model.length);
        expect(buffer.capacity).toBeLessThanOrEqual(Math.max(16_384, 2 * most));
      }
      const half = Math.floor(model.length / 2);
      expect(Buffer.concat([...buffer.read(from + half, 999)]).equals(Buffer.from(model.slice(half)))).toBe(true);
      buffer.release(from + model.length);
      expect(buffer.capacity).toBeLessThanOrEqual(16_384);
    }),
    { numRuns: 30 },
  );
});
