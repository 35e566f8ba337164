import { takenSecrets } from './program/take-secrets.ts';
import { errorCatalog, PamError } from '@sallyport/protocol';
import { Command, CommanderError, Option } from 'commander';
import { readSettings } from './program/settings.ts';
import { writeError, writeLine } from './program/system-stdio.ts';
import { version } from './version.ts';

const settingsHelp = `
Each flag --a-b may also be given as environment variable SALLYPORT_A_B, or as "a-b" in the JSON file of --config;
a flag wins over the environment, the environment over the file.
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict or limit (pool full with --no-standby), 5 not allowed,
69 unavailable, 75 try again, 130 stopped at once.`;

const proxyHelp = `
Routers are reached through the HTTP proxy of --proxy, else of HTTPS_PROXY, except those that NO_PROXY lists; targets
never are. A password in the proxy's URL belongs into the environment: arguments are seen by everybody on the host.`;

const startHelp = `
The join configuration comes from the first of: --config-file, --token, GATEWAY_CONFIG (base64), SALLYPORT_TOKEN, and
what the state folder kept of an earlier token. GATEWAY_CONFIG never reaches a child process. ACCEPT_EULA is not needed.
The same configuration on another host adds an instance to the pool.
${proxyHelp.trim()}
${settingsHelp}

Examples:
  GATEWAY_CONFIG=$(cat dc1.conf) pam-gateway start
  pam-gateway start --token pam.example:7443:TOKEN --state-dir /var/lib/sallyport/dc1`;

function buildProgram(finish: (run: () => Promise<number>) => void): Command {
  const program = new Command('pam-gateway')
    .description('One instance of a Sallyport gateway')
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: writeLine, writeErr: writeError })
    .showHelpAfterError('(pam-gateway --help shows what there is)');
  const common = (command: Command): Command => command.option('--config <file>', 'JSON file with settings');
  const reaching = (command: Command): Command =>
    common(command).option('--proxy <url>', 'http://[USER:PASSWORD@]HOST:PORT on the way to routers; none = no proxy');
  const start = reaching(program.command('start').description('run an instance until it is stopped'))
    .option('--carrier <kind>', 'what streams travel in: tcp, websocket (inside TLS), or auto (default: tcp)')
    .option('--config-file <file>', 'file with the join configuration')
    .option('--token <token>', 'one-time token HOST[:PORT]:TOKEN, or - for stdin')
    .option('--state-dir <dir>', 'folder of this instance (default: next free $SALLYPORT_HOME/instances/N)')
    .option('--no-standby', 'exit instead of waiting when the pool is full')
    .option('--drain-deadline <seconds>', 'how long running streams may go on after SIGTERM (default: 300)')
    .option('--max-streams <n>', 'most streams at once (default: 4000)')
    .option('--max-jobs <n>', 'most jobs of rotation at once (default: 8)')
    .option(
      '--plugin <names>',
      'packages with further target kinds, comma between them or one by one (or SALLYPORT_PLUGINS)',
      (names: string, before?: string) => (before === undefined ? names : `${before},${names}`),
    )
    .option('--detach-timeout <seconds>', 'how long a stream waits for its client after a lost carrier (default: 75)')
    .option('--health-port <port>', 'answer health checks, /livez, /readyz and /metrics over HTTP on 127.0.0.1')
    .option('--metrics-listen <[host:]port>', 'the same on an address of choice (plain HTTP, no sign-in)')
    .option('--listen-none', 'answer no health checks, not even on the unix socket')
    .option('--log-format <format>', 'json or text (default: text on a terminal)')
    .option('--log-level <level>', 'debug, info, warn, error or silent (default: info)')
    .addOption(new Option('--exit-with-stdin').hideHelp())
    .addOption(new Option('--accept-eula').hideHelp())
    .addHelpText('after', startHelp);
  start.action(() => {
    const { standby, ...flags } = start.opts();
    finish(async () => {
      const { runStart } = await import('./program/start-command.ts');
      return runStart(readSettings({ ...flags, noStandby: standby === false }, process.env), takenSecrets);
    });
  });
  const redeem = reaching(program.command('redeem').description('turn a one-time token into a join configuration'))
    .argument('[token]', 'HOST[:PORT]:TOKEN, or - for stdin (default: SALLYPORT_TOKEN)')
    .option('-o, --output <file>', 'write it there (0600) instead of printing it')
    .addHelpText('after', `${proxyHelp}${settingsHelp}`);
  redeem.action((token: string | undefined) =>
    finish(async () => {
      const { runRedeem } = await import('./program/redeem-command.ts');
      return runRedeem(token, readSettings(redeem.opts(), process.env), takenSecrets.token);
    }),
  );
  const health = common(program.command('health-check').description('ask a running instance; exit 0 when it is ready'))
    .option('--state-dir <dir>', 'folder of the instance (default: the one that runs under $SALLYPORT_HOME/instances)')
    .option('--health-port <port>', 'ask over HTTP on 127.0.0.1 instead of the unix socket')
    .option('--format <format>', 'text or json (default: text)')
    .addHelpText('after', settingsHelp);
  health.action(() =>
    finish(async () => {
      const { runHealthCheck } = await import('./program/health-command.ts');
      return runHealthCheck(readSettings(health.opts(), process.env));
    }),
  );
  return program;
}

function showError(reason: unknown): number {
  const error = PamError.from(reason, 'PAM_INTERNAL', 'the program met a state it does not expect');
  writeError(`pam-gateway: ${error.code}: ${error.message}\n  ${error.remedy}\n`);
  if (!(reason instanceof PamError)) writeError(`${reason instanceof Error ? (reason.stack ?? '') : String(reason)}\n`);
  return errorCatalog[error.code].exit;
}

/**
 * Runs `pam-gateway` with these arguments. @returns the exit code; never rejects.
 */
export async function main(argv: readonly string[]): Promise<number> {
  let running: Promise<number> = Promise.resolve(0);
  const program = buildProgram((run) => {
    running = run();
    running.catch(() => undefined);
  });
  try {
    if (argv.length === 0) program.help();
    program.parse([...argv], { from: 'user' });
    return await running;
  } catch (reason) {
    if (reason instanceof CommanderError) return reason.exitCode === 0 ? 0 : 2;
    return showError(reason);
  }
}
