import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { TourStop } from './stop.ts';

export interface TourOptions {
  /** End after the tour instead of staying up. */
  readonly once: boolean;
  /** Port of the router: as asked, 0 for any; undefined: that of the data folder, else 7443. */
  readonly port: number | undefined;
  /** Absolute. Holds everything: store, keys, logs, profile. */
  readonly dataDir: string;
  readonly instances: number;
  readonly maximum: number;
}

export const defaultPort = 7443;
const exitUsage = 2;

const usage = `npm start -- [--once] [--port N] [--data-dir DIR] [--instances N] [--maximum N]

Starts a router, a gateway "demo" with its instances and a small web server, opens a tunnel, kills an instance and goes
on; then stays up until Ctrl-C.

  --once           end after the tour; exit code 0 when every step worked
  --port N         port of the router (${defaultPort}; 0: any free one)
  --data-dir DIR   folder for everything it writes (./.sallyport); a later start goes on with it
  --instances N    instances to start, 2 to 10 (3)
  --maximum N      maximum instances of the gateway (the larger of 3 and --instances)
`;

function wholeNumber(name: string, text: string | undefined, from: number, to: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= from && value <= to) return value;
  throw new TourStop(exitUsage, `--${name} is a whole number from ${from} to ${to}, not ${JSON.stringify(text)}`);
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        once: { type: 'boolean', default: false },
        port: { type: 'string' },
        'data-dir': { type: 'string' },
        instances: { type: 'string' },
        maximum: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new TourStop(exitUsage, `${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  }
}

/**
 * @param root - the checkout, where .sallyport lies by default; `cwd` is where the user typed.
 * @throws TourStop with exit 2 for what is not understood, with exit 0 and the usage for --help.
 */
export function parseOptions(argv: readonly string[], cwd: string, root: string = cwd): TourOptions {
  const flags = parse(argv);
  if (flags.help) throw new TourStop(0, usage);
  if (flags['data-dir'] === '') throw new TourStop(exitUsage, '--data-dir names a folder');
  const instances = wholeNumber('instances', flags.instances, 2, 10) ?? 3;
  const maximum = wholeNumber('maximum', flags.maximum, 1, 1_000) ?? Math.max(3, instances);
  if (maximum < instances) {
    throw new TourStop(exitUsage, `--maximum ${maximum} is less than ${instances} instances: the rest would only wait`);
  }
  return {
    once: flags.once,
    port: wholeNumber('port', flags.port, 0, 65_535),
    dataDir: flags['data-dir'] === undefined ? resolve(root, '.sallyport') : resolve(cwd, flags['data-dir']),
    instances,
    maximum,
  };
}
