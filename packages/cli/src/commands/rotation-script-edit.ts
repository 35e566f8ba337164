import { PamError, type Script, scriptSchema } from '@sallyport/protocol';
import { signScript } from '@sallyport/seal';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { findHolder, namedScript, scriptJson, scriptsOf, writeScripts } from '../rotation/script-holder.ts';
import { readScriptText } from '../rotation/script-text.ts';
import { showJson } from '../terminal/show.ts';
import { nowSeconds } from '../time/clock.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({
  record: z.string(),
  name: z.string(),
  enabled: z.enum(['on', 'off']).optional(),
  file: z.string().optional(),
});

/**
 * `pam rotation script-edit`: switches a script on or off, and gives it another text. Where it runs and with what stays; a
 * new text is signed by this device. To change more, remove it and add it.
 */
export const run: Run = async (cli, _args, rawFlags) => {
  const { record, name, enabled, file } = readFlags(flagsSchema, rawFlags);
  if (enabled === undefined && file === undefined) {
    throw new PamError('PAM_USAGE', 'nothing is to be changed', {
      remedy: 'Say --enabled on|off, --file FILE or both.',
    });
  }
  const session = await openVaultSession(cli);
  try {
    const holder = await findHolder(session, record);
    const before = namedScript(holder, name);
    let script: Script = enabled === undefined ? before : { ...before, enabled: enabled === 'on' };
    if (file !== undefined) {
      const { signed: _, ...draft } = { ...script, body: await readScriptText(file, before.command) };
      const place = { app: holder.app, holder: holder.uid };
      const signed = await signScript(draft, place, session.device.key, nowSeconds(cli.clock));
      script = scriptSchema.parse({ ...draft, signed });
    }
    const rest = scriptsOf(holder).map((one) => (one.name === script.name ? script : one));
    await writeScripts(session, holder, rest);
    if (cli.format === 'json') showJson(cli.terminal, scriptJson(script, holder.uid));
    else
      cli.terminal.err(
        `“${script.name}” is ${script.enabled ? 'on' : 'off'}${file === undefined ? '' : ' and has a new text'}.\n`,
      );
    return undefined;
  } finally {
    session.close();
  }
};
