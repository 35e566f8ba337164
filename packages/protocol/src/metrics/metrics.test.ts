import { readMetrics } from '@sallyport/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createMetrics } from './metrics.ts';

test('a label value comes back as it was, whatever it holds: it ends no line and begins no sample', () => {
  const value = fc.oneof(
    fc.string({ maxLength: 60 }),
    fc.constantFrom('a"} 1\nsallyport_ready 1', '\\', '\\n', '"', ''),
  );
  fc.assert(
    fc.property(value, value, (one, other) => {
      const metrics = createMetrics();
      metrics.counter('sallyport_test_total', 'A test\nof \\ help', ['one', 'other']).add([one, other], 3);
      const { samples } = readMetrics(metrics.text());
      expect(samples).toEqual([{ name: 'sallyport_test_total', labels: { one, other }, value: 3 }]);
    }),
  );
});

test('a metric has never more series than its bound, and loses no count', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 3 }), { maxLength: 200 }),
      fc.integer({ min: 2, max: 20 }),
      (values, most) => {
        const metrics = createMetrics(most);
        const counter = metrics.counter('sallyport_test_total', 'A test', ['who']);
        const gauge = metrics.gauge('sallyport_test', 'A test', ['who']);
        for (const value of new Set(values)) gauge.set(1, [value]);
        const times = metrics.histogram('sallyport_test_seconds', 'A test', [1], ['who']);
        for (const value of values) {
          counter.add([value]);
          times.observe(0.5, [value]);
        }
        const { samples } = readMetrics(metrics.text());
        for (const name of ['sallyport_test_total', 'sallyport_test_seconds_count']) {
          const of = samples.filter((sample) => sample.name === name);
          expect(of.length).toBeLessThanOrEqual(most);
          expect(of.reduce((sum, sample) => sum + sample.value, 0)).toBe(values.length);
        }
        const of = samples.filter((sample) => sample.name === 'sallyport_test');
        expect(of.length).toBeLessThanOrEqual(most);
        expect(of.reduce((sum, sample) => sum + sample.value, 0)).toBe(new Set(values).size);
      },
    ),
  );
});

test('buckets hold what is at or under their bound, and everything ends in +Inf', () => {
  const metrics = createMetrics();
  const times = metrics.histogram('sallyport_test_seconds', 'A test', [0.1, 1]);
  for (const value of [0.1, 0.2, 1, 7]) times.observe(value);
  const scrape = readMetrics(metrics.text());
  expect(['0.1', '1', '+Inf'].map((le) => scrape.value('sallyport_test_seconds_bucket', { le }))).toEqual([1, 3, 4]);
  expect(scrape.value('sallyport_test_seconds_sum')).toBeCloseTo(8.3);
});

test('a gauge that was cleared shows only what was set since', () => {
  const metrics = createMetrics();
  const gauge = metrics.gauge('sallyport_test', 'A test', ['who']);
  gauge.set(1, ['old']);
  metrics.collect(() => {
    gauge.clear();
    gauge.set(2, ['new']);
  });
  expect(readMetrics(metrics.text()).samples).toEqual([{ name: 'sallyport_test', labels: { who: 'new' }, value: 2 }]);
});

test('a metric cannot be made twice or under a name that breaks the format', () => {
  const metrics = createMetrics();
  metrics.gauge('sallyport_test', 'A test');
  for (const name of ['sallyport_test', 'Sallyport', 'a b', 'a{b="c"}']) {
    expect(() => metrics.gauge(name, 'A test')).toThrow(/badly named/);
  }
  expect(() => metrics.gauge('sallyport_other', 'A test', ['a-b'])).toThrow(/badly named/);
});
