import { PamError } from '@sallyport/protocol';
import type { Run } from '../cli.ts';
import { argument } from '../flags.ts';
import { profileNames, setCurrentProfile } from '../profile/home.ts';

/** `pam profile use NAME`: the profile that commands use when none is named. */
export const run: Run = async (cli, args) => {
  const name = argument(args, 0);
  const names = await profileNames(cli.home);
  if (!names.includes(name)) {
    throw new PamError(
      'PAM_PROFILE_MISSING',
      `there is no profile “${name}”; there are: ${names.join(', ') || 'none'}`,
    );
  }
  await setCurrentProfile(cli.home, name);
  cli.terminal.err(`The current profile is ${name}.\n`);
  return undefined;
};
