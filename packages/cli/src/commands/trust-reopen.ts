import { readRestore, reopenLog } from '@sallyport/protocol';
import { digestOf, peekEntry } from '@sallyport/seal';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { openSignedIn } from '../person/signed-in.ts';
import { confirmRemoval } from '../terminal/confirm.ts';
import { isoTime, showJson, tableText, timeCell } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';
import { lostAuditEvents } from '../vault/reopening.ts';

const flagsSchema = z.object({ yes: z.boolean().default(false) });

/**
 * `pam trust reopen`: after a restore, says that everybody who knew more is back. Shows what came back and what did not; the
 * signature covers where both logs end, so that nothing more can be cut off under its cover.
 */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openSignedIn(cli);
  const { client, log } = session;
  const { restore, head } = await client.call(readRestore);
  if (restore?.closed !== true) {
    client.close();
    if (cli.format === 'json') showJson(cli.terminal, { reopened: false, closed: false });
    else cli.terminal.err('The router takes new entries of the trust log: there is nothing to reopen.\n');
    return undefined;
  }
  const state = await log.atLeast(head);
  const cameBack = log
    .entries()
    .slice(restore.before.n + 1, head.n + 1)
    .map((entry) => peekEntry(entry));
  const memory = await session.store.readMemory();
  const lost = lostAuditEvents(memory.auditHeads, restore.lastStart, restore.ends);
  const at = isoTime(restore.atMs);
  cli.terminal.err(
    [
      `The router was restored on ${at}; its trust log ended at entry ${restore.before.n} in the backup and at ${head.n} now.\n`,
      cameBack.length === 0
        ? 'No entry came back since.\n'
        : tableText(
            ['came back', 'kind', 'signed on'],
            cameBack.map(({ n, kind, at: signed }) => [String(n), kind, timeCell(signed * 1_000)]),
          ),
      restore.notBack.length === 0
        ? 'Every instance that the backup knows is back.\n'
        : `Not back yet are ${restore.notBack.length} instances that the backup knows. If one of them saw entries that nobody gave back, it will refuse this router for ever once another entry is signed:\n${tableText(
            ['gateway', 'instance', 'host'],
            restore.notBack.map(({ gateway, instance, deviceName }) => [gateway, instance, plain(deviceName)]),
          )}`,
      restore.withoutSettings.length === 0
        ? ''
        : `In the log, but without settings or keys here, since these were made after the backup: ${restore.withoutSettings.join(' ')}. Give a gateway that pam gateway list shows new keys (pam gateway rekey); remove the others by UID (pam gateway remove -g, then pam app remove) and make them anew.\n`,
      ...lost.map(
        ({ start, left, seen }) =>
          `Lost of the audit log: events ${left + 1} to ${seen} of start ${isoTime(start)}, as far as this device saw them.\n`,
      ),
      'Devices of people that saw more entries count, too, and are not known here: let each run any pam command first.\n',
    ].join(''),
  );
  await confirmRemoval(cli, 'Take new entries of the trust log from here on', flags.yes);
  const ends = await digestOf(restore.ends);
  const { incarnation, lastStart } = restore;
  const body = { incarnation, head: { n: state.head.n, hash: state.head.hash }, lastStart, ends };
  await session.chain.call(reopenLog, { body }, []);
  client.close();
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      reopened: true,
      restored_at: at,
      before: restore.before.n,
      head: head.n,
      came_back: cameBack.map(({ n, kind }) => ({ n, kind })),
      not_back: restore.notBack.map(({ gateway, instance, deviceName }) => ({
        gateway_uid: gateway,
        instance_id: instance,
        device_name: deviceName,
      })),
      without_settings: restore.withoutSettings,
      lost_audit_events: lost,
    });
  } else cli.terminal.err('The router takes new entries of the trust log.\n');
  return undefined;
};
