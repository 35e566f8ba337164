import { parseArgs } from 'node:util';

type Part = 'a' | 'b' | 'c' | 'd' | 'e' | 'f' | 'g' | 'h';

export interface BenchOptions {
  readonly parts: ReadonlySet<Part>;
  readonly rounds: number;
  readonly gib: number;
  readonly connections: number;
  readonly trials: number;
  /** Streams of (g). */
  readonly streams: number;
  /** Simulated instances of (h), one row each. */
  readonly links: readonly number[];
  readonly withPeers: boolean;
  readonly writeDocs: boolean;
}

const usage = `npm run bench -- [options]

  --only a,b,…    (a) bulk, (b) latency and new connections, (c) SIGKILL of a serving instance, (d) an instance that
                  freezes, is cut off, or does not reach the target, (e) the router's death under load, (f) legs plain and
                  inside TLS, (g) a drain, (h) control links; all of them unless told. (d) wants root and network namespaces
  --quick         fewer and shorter rounds, 10 trials, 100 streams, 1,000 links
  --gib N         GiB per round of (a) and (f)    --rounds N        rounds of (a), (b) and (f)
  --connections N connections per round of (b), (f)   --trials N        trials of (c), (d) and (e)
  --streams N     streams of (g)                  --links N,M       instances of (h)
  --ours          without OpenSSH                 --write-docs      write docs/benchmarks.md as well
`;

const names: Readonly<Record<string, Part>> = {
  ...{ a: 'a', bulk: 'a', b: 'b', latency: 'b', c: 'c', kills: 'c', d: 'd', failover: 'd' },
  ...{ e: 'e', restarts: 'e', f: 'f', carriers: 'f', g: 'g', drain: 'g', h: 'h', links: 'h' },
};

/** Ends the program with the usage and exit code 2 for what is not understood. */
export function parseOptions(argv: readonly string[]): BenchOptions {
  try {
    return read(argv);
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exit(2);
  }
}

function read(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: 'string', default: 'a,b,c,d,e,f,g,h' },
      quick: { type: 'boolean', default: false },
      gib: { type: 'string' },
      rounds: { type: 'string' },
      connections: { type: 'string' },
      trials: { type: 'string' },
      streams: { type: 'string' },
      links: { type: 'string' },
      ours: { type: 'boolean', default: false },
      'write-docs': { type: 'boolean', default: false },
    },
  });
  const parts = new Set(
    values.only.split(',').map((name) => {
      const part = names[name];
      if (part === undefined) throw new Error(`--only knows a to h, not ${JSON.stringify(name)}`);
      return part;
    }),
  );
  const options: BenchOptions = {
    parts,
    rounds: positive('rounds', values.rounds, 3),
    gib: positive('gib', values.gib, values.quick ? 0.25 : 1),
    connections: positive('connections', values.connections, values.quick ? 50 : 300),
    trials: positive('trials', values.trials, values.quick ? 10 : 100),
    streams: positive('streams', values.streams, values.quick ? 100 : 500),
    links: (values.links ?? (values.quick ? '1000' : '1000,10000'))
      .split(',')
      .map((text) => positive('links', text, 0)),
    withPeers: !values.ours,
    writeDocs: values['write-docs'],
  };
  if (options.writeDocs && (parts.size < 8 || options.rounds < 3 || values.ours)) {
    throw new Error('--write-docs wants all parts, the peers and at least 3 rounds');
  }
  return options;
}

function positive(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value > 0 && value <= 100_000)) throw new Error(`--${name} is a positive number, not ${JSON.stringify(text)}`);
  return value;
}
