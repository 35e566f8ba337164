import { readAudit } from '@sallyport/protocol';
import { verifyHead } from '@sallyport/seal';
import type { Run } from '../cli.ts';
import { openSignedIn } from '../person/signed-in.ts';
import { isoTime, showJson } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';
import { withProgress } from '../terminal/progress.ts';
import { beginAudit, endAudit, nextAuditEvent } from '../vault/verify-audit.ts';

/**
 * `pam audit verify`: reads every event and checks the chain of each start of the router, the chains and signatures of
 * the actors, the router's signed heads, and the heads this profile remembers. PAM_AUDIT_BROKEN names what is wrong.
 */
export const run: Run = async (cli) => {
  const session = await openSignedIn(cli);
  const { client } = session;
  const memory = await session.store.readMemory();
  const state = await withProgress(cli, 'verifying the audit log', async () => {
    const first = await client.call(readAudit, { query: { limit: 1 } });
    const heads = await Promise.all(first.heads.map(async (jws) => verifyHead(jws, session.profile.pins)));
    let reached = beginAudit(heads, memory.auditHeads);
    for (;;) {
      cli.signal.throwIfAborted();
      const page = await client.call(readAudit, {
        query: { start: reached.start ?? 0, after: reached.seq, limit: 500 },
      });
      for (const event of page.events) reached = await nextAuditEvent(reached, event, session.log.state());
      if (!page.more || page.events.length === 0) break;
    }
    return { ...reached, lost: await endAudit(reached) };
  });
  client.close();
  const summary = {
    events: state.events,
    signed_by_actors: state.signed,
    given_back: state.givenBack,
    lost_in_restores: state.lost,
    reopened_by: state.reopenings.map(({ device }) => device),
    actors: state.actors.size,
    last_start: state.start,
    last_seq: state.seq,
  };
  if (cli.format === 'json') showJson(cli.terminal, { verified: true, ...summary });
  else {
    const isWhole = state.lost.length === 0;
    cli.terminal.out(
      `verified ${state.events} events, ${state.signed} of them signed by ${state.actors.size} actors; no gap, fork or cut${isWhole ? '' : ' but what restores lost'}\n`,
    );
    if (state.givenBack > 0) {
      cli.terminal.out(
        `${state.givenBack} of the signed ones were lost in a restore and given back by their devices\n`,
      );
    }
    for (const { start, left, seen } of state.lost) {
      cli.terminal.out(
        `lost in a restore: events ${left + 1} to ${seen} of start ${isoTime(start)}, as far as this profile saw them\n`,
      );
    }
    for (const { device } of state.reopenings) {
      const label = session.log.state().devices.get(device)?.label ?? device;
      cli.terminal.out(`a restore was reopened by ${plain(label)} (${device})\n`);
    }
  }
  return undefined;
};
