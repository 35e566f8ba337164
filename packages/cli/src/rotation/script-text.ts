import { PamError } from '@sallyport/protocol';
import { readText } from '../profile/file-store.ts';

const bodyMaxBytes = 24_576;

/**
 * Reads what a script runs.
 *
 * @param command - the program that is given the text; none: the text itself must say it.
 * @throws PAM_NOT_FOUND, PAM_TOO_LARGE, PAM_USAGE when nothing says what runs it.
 */
export async function readScriptText(file: string, command: readonly string[]): Promise<string> {
  const body = await readText(file, bodyMaxBytes);
  if (body === null) throw new PamError('PAM_NOT_FOUND', `there is no file ${file}`, { remedy: 'Check the path.' });
  if (command.length > 0 || body.startsWith('#!')) return body;
  throw new PamError('PAM_USAGE', `${file} does not begin with #!, so nothing says what runs it`, {
    remedy: 'Add a first line as #!/bin/sh, or name the program with --command.',
  });
}
