import { killSession, PamError, sessionIdSchema } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { streamsText } from '../gateway/set-intent.ts';
import { showJson } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({ reason: z.string().max(120).default('') });

/** `pam session kill ID`: ends a session, or one stream of it, wherever it runs. */
export const run: Run = async (cli, args, rawFlags) => {
  const id = sessionIdSchema.safeParse(argument(args, 0));
  if (!id.success) throw new PamError('PAM_USAGE', `“${argument(args, 0)}” is neither a session nor a stream`);
  const { reason } = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  const reply = await session.chain.call(killSession, { params: { id: id.data }, body: { reason } }, [id.data]);
  session.close();
  if (cli.format === 'json') {
    const { killed, session: of, streams, untold } = reply;
    showJson(cli.terminal, { killed, id: id.data, session_id: of, streams, untold_streams: untold });
  } else cli.terminal.err(`The ${reply.killed} ${id.data} is ended: ${streamsText(reply.streams)} ran.\n`);
  if (reply.untold > 0) {
    cli.terminal.err(
      `${streamsText(reply.untold)} run on an instance without a link: cut off at the router now, ended there when it returns.\n`,
    );
  }
  return undefined;
};
