import { readAudit } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import { openSignedIn } from '../person/signed-in.ts';
import { isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';

const flagsSchema = z.object({ limit: z.string().default('50') });

/** `pam audit list`: newest first. Bodies are ids, codes and counts: titles and hosts are never in the audit log. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const limit = readWhole('--limit', flags.limit, 1, 500);
  const session = await openSignedIn(cli);
  const { events } = await session.client.call(readAudit, { query: { order: 'newest', limit } });
  session.client.close();
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      events: events.map((event) => ({
        start: event.start,
        seq: event.seq,
        at: isoTime(event.atMs),
        kind: event.kind,
        body: parseBody(event.body),
        signed_by_actor: event.actorEvent !== null,
        hash: event.hash,
      })),
    });
    return undefined;
  }
  if (events.length === 0) cli.terminal.err('There is no event yet.\n');
  else {
    showTable(
      cli.terminal,
      ['start', 'seq', 'at', 'kind', 'signed', 'about'],
      events.map((event) => [
        event.start,
        event.seq,
        timeCell(event.atMs),
        event.kind,
        event.actorEvent === null ? '' : 'actor',
        event.body,
      ]),
    );
  }
  return undefined;
};

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (reason) {
    if (reason instanceof SyntaxError) return text;
    throw reason;
  }
}
