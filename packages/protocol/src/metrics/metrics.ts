import { PamError } from '../errors/pam-error.ts';

/**
 * Figures of a program in the text format that Prometheus reads.
 *
 * V1 a metric has at most `mostSeries` series; samples of further label values are added to one whose labels are all
 *    `other`, so that no stranger and no installation can make a scrape grow without bound.
 * V2 names and label names are checked when a metric is made, label values are escaped: what a value holds can end no
 *    line and begin no sample.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4); docs/adr/0012-watching.md
 */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): Counter;
  gauge(name: string, help: string, labels?: readonly string[]): Gauge;
  /** `bounds`: upper bounds of the buckets, ascending, in the unit of the name; `+Inf` is added. */
  histogram(name: string, help: string, bounds: readonly number[], labels?: readonly string[]): Histogram;
  /** Runs before each `text()`: for what is read rather than counted. */
  collect(read: () => void): void;
  /** Everything, in the order it was made. */
  text(): string;
}

export interface Counter {
  /** `values` in the order of the label names. */
  add(values?: readonly string[], by?: number): void;
  /** Takes over a total that somebody else counts. */
  total(total: number, values?: readonly string[]): void;
}
export interface Gauge {
  /** Under `other` (V1) the values of all who are meant are added: a gauge of many labels is cleared before it is set. */
  set(value: number, values?: readonly string[]): void;
  /** Forgets all series: those set again are what there is now. */
  clear(): void;
}
export interface Histogram {
  observe(value: number, values?: readonly string[]): void;
}

/** What a scrape is answered as. */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

const usualMostSeries = 1_000;
const mostValueLength = 128;
const metricName = /^[a-z][a-z0-9_]{2,79}$/;
const labelName = /^[a-z][a-z0-9_]{0,31}$/;

interface Series<T> {
  readonly labels: string;
  /** It stands for all that came after the bound. */
  readonly isOther: boolean;
  value: T;
}
interface Family<T> {
  of(values: readonly string[]): Series<T>;
  all(): Iterable<Series<T>>;
  clear(): void;
}

function escapeValue(value: string): string {
  return value.slice(0, mostValueLength).replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
}

function family<T>(names: readonly string[], mostSeries: number, fresh: () => T): Family<T> {
  const series = new Map<string, Series<T>>();
  const make = (values: readonly string[], isOther: boolean): Series<T> => ({
    isOther,
    labels: names.map((name, i) => `${name}="${escapeValue(values[i] ?? '')}"`).join(','),
    value: fresh(),
  });
  return {
    of: (values) => {
      const key = values.join('\n');
      const known = series.get(key);
      if (known !== undefined) return known;
      const isFull = series.size >= mostSeries - 1;
      const shown = isFull ? names.map(() => 'other') : values;
      const place = isFull ? shown.join('\n') : key;
      const made = series.get(place) ?? make(shown, isFull);
      series.set(place, made);
      return made;
    },
    all: () => series.values(),
    clear: () => series.clear(),
  };
}

/** Shortest text that reads back as the same number; Prometheus' words for those that are none. */
function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}

function sample(name: string, labels: string, value: number): string {
  return `${name}${labels === '' ? '' : `{${labels}}`} ${numberText(value)}\n`;
}

/** @param mostSeries - bound of V1 for each metric. */
export function createMetrics(mostSeries = usualMostSeries): Metrics {
  const parts: (() => string)[] = [];
  const reads: (() => void)[] = [];
  const taken = new Set<string>();

  function declare(name: string, help: string, type: string, labels: readonly string[], body: () => string): void {
    const wrong = !metricName.test(name) || taken.has(name) || labels.some((label) => !labelName.test(label));
    if (wrong) throw new PamError('PAM_INTERNAL', `the metric ${name} is badly named, or there twice`);
    taken.add(name);
    const head = `# HELP ${name} ${help.replace(/[\\\n]/g, ' ')}\n# TYPE ${name} ${type}\n`;
    parts.push(() => head + body());
  }
  function plain(name: string, help: string, type: string, labels: readonly string[]): Family<number> {
    const of = family(labels, mostSeries, () => 0);
    declare(name, help, type, labels, () => [...of.all()].map((one) => sample(name, one.labels, one.value)).join(''));
    // A metric without labels is there from the start, so that its first increase shows.
    if (labels.length === 0) of.of([]);
    return of;
  }

  return {
    counter: (name, help, labels = []) => {
      const of = plain(name, help, 'counter', labels);
      return {
        add: (values = [], by = 1) => void (of.of(values).value += by),
        total: (total, values = []) => void (of.of(values).value = total),
      };
    },
    gauge: (name, help, labels = []) => {
      const of = plain(name, help, 'gauge', labels);
      const set: Gauge['set'] = (value, values = []) => {
        const series = of.of(values);
        series.value = series.isOther ? series.value + value : value;
      };
      return { set, clear: of.clear };
    },
    histogram: (name, help, bounds, labels = []) => {
      const of = family(labels, mostSeries, () => ({ counts: bounds.map(() => 0), count: 0, sum: 0 }));
      declare(name, help, 'histogram', labels, () =>
        [...of.all()].map((one) => histogramText(name, bounds, one.labels, one.value)).join(''),
      );
      if (labels.length === 0) of.of([]);
      return {
        observe: (value, values = []) => {
          const into = of.of(values).value;
          const at = bounds.findIndex((bound) => value <= bound);
          if (at >= 0) into.counts[at] = (into.counts[at] ?? 0) + 1;
          into.count += 1;
          into.sum += value;
        },
      };
    },
    collect: (read) => void reads.push(read),
    text: () => {
      for (const read of reads) read();
      return parts.map((part) => part()).join('');
    },
  };
}

interface Buckets {
  readonly counts: number[];
  count: number;
  sum: number;
}

function histogramText(name: string, bounds: readonly number[], labels: string, of: Buckets): string {
  const before = labels === '' ? '' : `${labels},`;
  let below = 0;
  const lines = bounds.map((bound, i) => {
    below += of.counts[i] ?? 0;
    return sample(`${name}_bucket`, `${before}le="${numberText(bound)}"`, below);
  });
  lines.push(sample(`${name}_bucket`, `${before}le="+Inf"`, of.count));
  lines.push(sample(`${name}_sum`, labels, of.sum), sample(`${name}_count`, labels, of.count));
  return lines.join('');
}
