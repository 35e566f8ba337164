import { errorCatalog, productVersion } from '@sallyport/protocol';
import { askedFormat, readArguments } from './argv.ts';
import { homeFolder } from './profile/home.ts';
import { parse } from './program.ts';
import type { Format } from './terminal/show.ts';
import { showError } from './terminal/show-error.ts';
import { systemTerminal } from './terminal/system-terminal.ts';
import type { Terminal } from './terminal/terminal.ts';
import { systemClock } from './time/system-clock.ts';

/**
 * The program `pam`. Never throws: every error is printed with its remedy and becomes an exit code.
 *
 * @param argv - without the runtime and the script.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const terminal = systemTerminal();
  const { env } = process;
  const debug = env['SALLYPORT_DEBUG'] === '1';
  let format = toFormat(askedFormat(argv)) ?? toFormat(env['SALLYPORT_FORMAT']) ?? 'table';
  process.stdout.on('error', endOnBrokenPipe);
  const interrupt = new AbortController();
  const stop = (name: NodeJS.Signals) => {
    if (interrupt.signal.aborted) process.exit(errorCatalog.PAM_INTERRUPTED.exit);
    interrupt.abort(name);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // ssh ends its ProxyCommand with it, a terminal that closes ends everything with it: the router is still told.
  process.on('SIGHUP', stop);
  try {
    const home = homeFolder(env);
    if (argv.length === 0) return showHelp(terminal);
    const { parsed, profile, proxy, carrier } = parse(productVersion, readArguments(argv));
    if (parsed.kind === 'text') {
      terminal.out(parsed.text);
      return 0;
    }
    const { readSettings } = await import('./profile/settings.ts');
    const settings = await readSettings(home);
    format = toFormat(askedFormat(argv)) ?? toFormat(env['SALLYPORT_FORMAT']) ?? settings.format ?? 'table';
    const { run } = await parsed.load();
    const code = await run(
      {
        terminal,
        clock: systemClock,
        env,
        home,
        profileName: profile ?? settings.profile,
        proxy: proxy ?? settings.proxy,
        carrier: carrier ?? settings.carrier,
        format,
        signal: interrupt.signal,
      },
      parsed.args,
      parsed.flags,
    );
    return code ?? 0;
  } catch (reason) {
    return showError(terminal, format, reason, debug);
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    process.off('SIGHUP', stop);
  }
}

function toFormat(text: string | undefined): Format | undefined {
  return text === 'table' || text === 'json' ? text : undefined;
}

function showHelp(terminal: Terminal): number {
  const { parsed } = parse(productVersion, ['--help']);
  if (parsed.kind === 'text') terminal.err(parsed.text);
  return errorCatalog.PAM_USAGE.exit;
}

/** A reader such as `head` that has seen enough is no error of ours. */
function endOnBrokenPipe(error: NodeJS.ErrnoException): void {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
}
