import { PamError } from '@sallyport/protocol';
import { resolveName } from './resolve.ts';
import type { Application, Vault } from './vault.ts';

/** The application named, or the only one there is. PAM_USAGE when there are several and none is named. */
export async function pickApplication(vault: Vault, name: string | undefined): Promise<Application> {
  const applications = await vault.applications();
  if (name !== undefined) return resolveName('application', name, applications);
  const [only] = applications;
  if (only === undefined)
    throw new PamError('PAM_NOT_FOUND', 'there is no application yet', { remedy: 'Make one: pam app new NAME.' });
  if (applications.length === 1) return only;
  throw new PamError(
    'PAM_USAGE',
    `there are ${applications.length} applications: ${applications.map((one) => one.title).join(', ')}`,
    {
      remedy: 'Name one with -a.',
    },
  );
}
