import { readFileSync } from 'node:fs';
import { alertKinds, PamError } from '@sallyport/protocol';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { defaultTiming, type PoolTiming, timeFlag } from '../pool/index.ts';
import { readBalancers } from '../relay/index.ts';
import type { WatchPlace } from '../watch/index.ts';
import { logFormats, logLevels } from './router-log.ts';

/** `--a-b` = environment SALLYPORT_A_B = `a-b` in the --config file, in this order. */
function option(flags: string, description: string): Option {
  const name = /--([\w-]+)/.exec(flags)?.[1] ?? '';
  return new Option(flags, description).env(`SALLYPORT_${name.replaceAll('-', '_').toUpperCase()}`);
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

function hostPort(text: string): string {
  if (/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]{1,253}):\d{1,5}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be HOST:PORT, with an IPv6 address in brackets.');
}

/** `9464` is on loopback; everything else is HOST:PORT. */
function metricsPlace(text: string): WatchPlace {
  const given = /^(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]{1,253}):)?(\d{1,5})$/.exec(text);
  const port = Number(given?.[2]);
  if (given !== null && port <= 65_535) {
    return { host: (given[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port };
  }
  throw new InvalidArgumentError('It must be PORT (on 127.0.0.1) or HOST:PORT, with an IPv6 address in brackets.');
}

function balancers(text: string): readonly string[] {
  const networks = text.split(/[\s,]+/).filter((network) => network !== '');
  try {
    readBalancers(networks);
    return networks;
  } catch (reason) {
    throw new InvalidArgumentError(reason instanceof PamError ? `${reason.message}. ${reason.remedy}` : String(reason));
  }
}

const defaultPort = 7_443;
/** Every time of the pool, with its line in the help. */
const meanings = {
  beatMs: 'beat of a control link',
  suspectMs: 'silence that makes an instance suspect',
  cutMs: 'silence that cuts a control link',
  reserveMs: 'time the slot of a lost link is kept while another waits',
  graceMs: 'the same after this router starts',
  unwantedMs: 'time the slot of a lost link is kept while nobody waits',
  hedgeMs: 'time an instance has to answer a dispatch before another is asked',
  promoteMs: 'time a promoted standby has to acknowledge',
  beatsPerSecond: 'beats this router takes in a second; with more links each beats less often',
  acceptsPerSecond: 'TLS handshakes let in a second at most, and at once after a quiet time',
  joinsPerSecond: 'instances this router admits in a second when all come at once; the grace counts with it',
  waitingConnections: 'TLS connections that wait for their handshake; those over it are closed',
  rttMs: 'round trip the other times are checked against',
  lagMs: 'delay of a busy program the other times are checked against',
  dialMs: 'dial and handshake the other times are checked against',
  redialSpreadMs: 'time within which an instance that lost its link dials again, as checked',
  detachMs: 'time a stream without its carrier is kept, as checked',
  tickMs: 'how often this router looks who is silent',
  pauseMs: 'a longer gap between two looks is a pause of this router, and no silence',
  leaseMs: 'time a work lease must be seen unrenewed before its jobs are given to another instance',
  fenceMs: 'time without a renewal after which an instance stops acting under its work lease',
  renewalMs: 'how often an instance renews its work lease',
  quiesceMs: 'time within which a permit to write is used',
  effectMs: 'longest time a write to a target may take effect after it went out',
} as const satisfies Partial<Record<keyof PoolTiming, string>>;
const settable = Object.keys(meanings) as (keyof typeof meanings)[];

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export function addPlaceFlags(command: Command): Command {
  return command
    .addOption(option('--data-dir <folder>', 'folder that holds everything').default('./.sallyport'))
    .addOption(option('--database-url <url>', 'postgres://… instead of the embedded store'))
    .addOption(option('--config <file>', 'JSON file with settings, keys as the flags without dashes'));
}

export function addStartFlags(command: Command): Command {
  addPlaceFlags(command)
    .addOption(option('--listen <address>', 'address to listen on').default('0.0.0.0'))
    .addOption(
      option('--port <number>', 'port; 0 = any free one').default(defaultPort).argParser(wholeNumber(0, 65_535)),
    )
    .addOption(
      option('--public-name <host:port>', 'address under which people and gateways reach it').argParser(hostPort),
    )
    .addOption(
      option(
        '--proxy-protocol-from <cidrs>',
        'addresses of balancers, separated by commas: their connections must begin with a PROXY header (v1 or v2), all others must not',
      ).argParser(balancers),
    )
    .addOption(
      option('--drain-deadline <seconds>', 'how long streams through it may go on after SIGTERM')
        .default(3)
        .argParser(wholeNumber(0, 86_400)),
    )
    .addOption(
      option(
        '--metrics-listen <[host:]port>',
        'serve /livez, /readyz and /metrics over plain HTTP there; a port alone is on 127.0.0.1 (default: nowhere)',
      ).argParser(metricsPlace),
    )
    .addOption(
      option(
        '--alert-url <url>',
        'tell this webhook what goes wrong; better as SALLYPORT_ALERT_URL: arguments are public',
      ),
    )
    .addOption(option('--alert-secret-file <file>', 'sign alerts with the secret in this file (16 bytes or more)'))
    .addOption(option('--alert-on <kinds>', `alerts to send, separated by commas (default: ${alertKinds.join(',')})`))
    .addOption(
      option('--alert-grace <seconds>', 'how long something must last (default: 30 to 300, by kind)').argParser(
        wholeNumber(0, 86_400),
      ),
    )
    .addOption(
      option('--alert-repeat <minutes>', 'tell again what still fires; 0 = once')
        .default(240)
        .argParser(wholeNumber(0, 100_000)),
    )
    .addOption(
      option('--log-format <format>', 'of the log on stderr')
        .choices([...logFormats])
        .default('json'),
    )
    .addOption(
      option('--log-level <level>', 'least level that is logged')
        .choices([...logLevels])
        .default('info'),
    );
  for (const name of settable) {
    const unit = name.endsWith('Ms') ? 'ms' : 'n';
    const text = `${meanings[name]}${unit === 'ms' ? ', ms' : ''} (default: ${defaultTiming[name]})`;
    command.addOption(option(`${timeFlag(name)} <${unit}>`, text).argParser(wholeNumber(1, 3_600_000)));
  }
  return command
    .addOption(
      option(
        '--accept-clock',
        'the clock of this machine was looked at and is right, though an earlier router saw a later time: run schedules',
      ),
    )
    .addOption(new Option('--exit-with-stdin').hideHelp());
}

const configFileSchema = z.record(z.string().max(64), z.union([z.string().max(4_096), z.number(), z.boolean()]));

function readConfigFile(file: string): z.infer<typeof configFileSchema> {
  try {
    const text = readFileSync(file, 'utf8');
    if (text.length > 65_536) throw new PamError('PAM_TOO_LARGE', `${file} is over 64 KiB`);
    return configFileSchema.parse(JSON.parse(text));
  } catch (reason) {
    throw PamError.from(
      reason,
      'PAM_CONFIG_INVALID',
      `the settings file ${file} cannot be read, or is no JSON object of plain values`,
    );
  }
}

/** Fills from the --config file what neither flag nor environment gave. @throws PAM_CONFIG_INVALID naming the key. */
function applyConfigFile(command: Command): void {
  const { config } = command.opts<{ config?: string }>();
  if (config === undefined) return;
  for (const [key, value] of Object.entries(readConfigFile(config))) {
    const known = command.options.find((each) => each.long === `--${key}`);
    if (known === undefined) throw new PamError('PAM_CONFIG_INVALID', `${config}: there is no setting '${key}'`);
    const name = known.attributeName();
    const source = command.getOptionValueSource(name);
    if (source === 'cli' || source === 'env') continue;
    try {
      const parsed: unknown = known.parseArg ? known.parseArg(String(value), undefined) : String(value);
      command.setOptionValueWithSource(name, parsed, 'config');
    } catch (reason) {
      const why = reason instanceof Error ? reason.message : 'not of its form';
      throw new PamError('PAM_CONFIG_INVALID', `${config}: ${key}: ${why}`, { cause: reason });
    }
  }
}

const placeSchema = z.object({
  dataDir: z.string().min(1).max(4_096),
  databaseUrl: z.string().min(1).max(4_096).optional(),
});
const startSchema = z.object({
  ...placeSchema.shape,
  listen: z.string().min(1).max(255),
  port: z.int(),
  publicName: z.string().optional(),
  proxyProtocolFrom: z.array(z.string().max(64)).max(256).optional(),
  drainDeadline: z.int(),
  metricsListen: z.object({ host: z.string(), port: z.int() }).optional(),
  alertUrl: z.string().optional(),
  alertSecretFile: z.string().optional(),
  alertOn: z.string().optional(),
  alertGrace: z.int().optional(),
  alertRepeat: z.int(),
  logFormat: z.enum(logFormats),
  logLevel: z.enum(logLevels),
  exitWithStdin: z.boolean().optional(),
  acceptClock: z.boolean().optional(),
});

/** Data folder and database, checked. @throws PAM_CONFIG_INVALID */
export function placeOf(command: Command): z.infer<typeof placeSchema> {
  applyConfigFile(command);
  const parsed = placeSchema.safeParse(command.opts());
  if (parsed.success) return parsed.data;
  throw new PamError(
    'PAM_CONFIG_INVALID',
    `--${kebab(String(parsed.error.issues[0]?.path[0]))} is missing or malformed`,
  );
}

/** Everything `start` needs, checked. @throws PAM_CONFIG_INVALID */
export function startSettingsOf(
  command: Command,
): z.infer<typeof startSchema> & { readonly timing: Partial<PoolTiming> } {
  applyConfigFile(command);
  const options: Record<string, unknown> = command.opts();
  const parsed = startSchema.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new PamError('PAM_CONFIG_INVALID', `--${kebab(String(issue?.path[0]))}: ${issue?.message ?? 'malformed'}`);
  }
  const timing: Partial<Record<keyof PoolTiming, number>> = {};
  for (const name of settable) {
    const value = options[name];
    if (typeof value === 'number') timing[name] = value;
  }
  return { ...parsed.data, timing };
}
