/** One sample of a scrape. */
interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}
/** A scrape, read as strictly as the format is written. */
export interface Scrape {
  readonly samples: readonly Sample[];
  /** Name of the family → counter, gauge or histogram. */
  readonly types: ReadonlyMap<string, string>;
  /** The value of the one sample with this name and these labels (others may be there too); throws when it is not one. */
  value(name: string, labels?: Readonly<Record<string, string>>): number;
}

const sampleLine = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const labelAt = /^([a-zA-Z_]\w*)="((?:[^"\\]|\\["\\n])*)"(,|$)/;

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== '') {
    const [whole, name = '', value = ''] = labelAt.exec(rest) ?? [];
    if (whole === undefined || name in labels) throw new Error(`no labels: ${text}`);
    labels[name] = value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
    rest = rest.slice(whole.length);
  }
  return labels;
}

function readNumber(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  const value = Number(text);
  if (Number.isNaN(value) && text !== 'NaN') throw new Error(`no number: ${text}`);
  return value;
}

/**
 * Reads the text format that Prometheus scrapes (0.0.4): every family has HELP and TYPE before its samples, no series
 * comes twice, buckets of a histogram grow and end with its count.
 *
 * @throws Error naming the line that is wrong.
 */
export function readMetrics(text: string): Scrape {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  const seen = new Set<string>();
  let family = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const [, help] = /^# HELP (\S+) \S/.exec(line) ?? [];
    if (help !== undefined) {
      if (types.has(help)) throw new Error(`twice: ${line}`);
      family = help;
      continue;
    }
    const [, typed, type] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (typed !== undefined && type !== undefined) {
      if (typed !== family) throw new Error(`TYPE without its HELP: ${line}`);
      types.set(typed, type);
      continue;
    }
    const [, name = '', labels = '', value = ''] = sampleLine.exec(line) ?? [];
    const suffix = types.get(family) === 'histogram' ? '(_bucket|_sum|_count)' : '';
    if (!new RegExp(`^${family}${suffix}$`).test(name)) throw new Error(`not of ${family}: ${line}`);
    const sample = { name, labels: readLabels(labels), value: readNumber(value) };
    const key = JSON.stringify([name, Object.entries(sample.labels).sort()]);
    if (seen.has(key)) throw new Error(`series twice: ${line}`);
    seen.add(key);
    samples.push(sample);
  }
  checkHistograms(samples);
  return {
    samples,
    types,
    value: (name, labels = {}) => {
      const found = samples.filter(
        (sample) =>
          sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
      );
      const [one] = found;
      if (one === undefined || found.length > 1) throw new Error(`${found.length} samples of ${name}: ${text}`);
      return one.value;
    },
  };
}

function checkHistograms(samples: readonly Sample[]): void {
  const last = new Map<string, Sample>();
  for (const sample of samples) {
    if (sample.labels['le'] === undefined) continue;
    const { le, ...rest } = sample.labels;
    const key = JSON.stringify([sample.name, rest]);
    const before = last.get(key);
    const grows =
      before === undefined || (before.value <= sample.value && Number(before.labels['le']) < readNumber(le));
    if (!grows) throw new Error(`buckets of ${sample.name} do not grow at ${le}`);
    last.set(key, sample);
  }
  for (const sample of last.values()) {
    const { le, ...rest } = sample.labels;
    const of = JSON.stringify(rest);
    const count = samples.find(
      (each) => each.name === sample.name.replace(/_bucket$/, '_count') && JSON.stringify(each.labels) === of,
    );
    if (le !== '+Inf' || count?.value !== sample.value) throw new Error(`${sample.name} does not end with its count`);
  }
}
