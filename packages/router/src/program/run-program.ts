import { productVersion } from '@sallyport/protocol';
import { Command, CommanderError } from 'commander';
import { addPlaceFlags, addStartFlags } from './flags.ts';
import type { HeadStart } from './head-start.ts';
import { reportError } from './report-error.ts';
import { runStart } from './run-start.ts';
import { runBackup, runCheck, runReopen, runRestore, runRestored, runSetupCode } from './run-tools.ts';

const usageExit = 2;

/** The command tree; `done` receives the exit code of the command that ran. */
function program(early: HeadStart | null, done: (code: number) => void): Command {
  const root = new Command('pam-router')
    .description('Sallyport router: API, gateway admission, dispatch, blind relay and store')
    .version(productVersion)
    .showHelpAfterError('(add --help for the commands and flags)')
    .addHelpText(
      'after',
      '\nEvery flag can be given as environment variable or in the --config file; flags win, then the environment.',
    )
    .exitOverride();
  addStartFlags(
    root.command('start').description('run the router; prints the setup line while it has no owner'),
  ).action(async (_flags, command: Command) => done(await runStart(command, early)));
  addPlaceFlags(
    root.command('setup-code').description('print a fresh setup line (60 minutes); the one before is void'),
  ).action(async (_flags, command: Command) => done(await runSetupCode(command)));
  addPlaceFlags(root.command('check').description('check integrity, schema and counts of the store')).action(
    async (_flags, command: Command) => done(await runCheck(command)),
  );
  addPlaceFlags(root.command('backup').description('copy the embedded store to a file, also while the router runs'))
    .argument('<file>', 'file to write; must not exist')
    .action(async (file: string, _flags, command: Command) => done(await runBackup(file, command)));
  addPlaceFlags(
    root.command('restore').description('put a backup in the place of the embedded store; the router must not run'),
  )
    .argument('<file>', 'a file that backup wrote')
    .action(async (file: string, _flags, command: Command) => done(await runRestore(file, command)));
  addPlaceFlags(
    root
      .command('restored')
      .description(
        'say that the store was put in place by something else, pg_restore or a snapshot; the router must not run',
      ),
  ).action(async (_flags, command: Command) => done(await runRestored(command)));
  addPlaceFlags(
    root
      .command('reopen')
      .description('after a restore: take new entries of the trust log, where no device is left for pam trust reopen'),
  ).action(async (_flags, command: Command) => done(await runReopen(command)));
  return root;
}

/** Parses and runs one command. @returns the exit code; errors are told on stderr. */
export async function runProgram(argv: readonly string[], early: HeadStart | null): Promise<number> {
  let code = 0;
  try {
    await program(early, (answered) => {
      code = answered;
    }).parseAsync([...argv], { from: 'user' });
  } catch (reason) {
    if (!(reason instanceof CommanderError)) return reportError(reason);
    // commander has told the user already; help and version leave with 0.
    return reason.exitCode === 0 ? 0 : usageExit;
  } finally {
    early?.drop();
  }
  return code;
}
