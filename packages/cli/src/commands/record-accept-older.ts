import { acceptOlder, type ItemType, itemTypeSchema } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { openSignedIn } from '../person/signed-in.ts';
import type { ProfileStore } from '../profile/profile-store.ts';
import { confirmRemoval } from '../terminal/confirm.ts';
import { showJson } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';
import { findItem } from '../vault/find-item.ts';
import { floorsAt, olderParts, servedParts } from '../vault/revision-memory.ts';
import { openVault } from '../vault/vault.ts';

const flagsSchema = z.object({ yes: z.boolean().default(false) });
const everyType: readonly ItemType[] = itemTypeSchema.options;

/**
 * `pam record accept-older RECORD`: after a restore, goes on with the revision that the router has, in place of a newer one that this
 * device saw and that is lost. For one item, by a person's word, signed. Facts are sealed anew above what was seen, so nobody else
 * has to give anything up; secrets stay as they are, since what gateways give back follows them, and this profile's floor sinks.
 * What is older is still checked: signature, author, place.
 */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openSignedIn(cli);
  const withoutFloors = async () => ({ ...(await session.store.readMemory()), revs: {} });
  const unremembering: ProfileStore = { ...session.store, readMemory: withoutFloors, remember: withoutFloors };
  const vault = openVault({
    signedIn: { ...session, store: unremembering },
    clock: cli.clock,
    warn: (text) => cli.terminal.err(`warning: ${plain(text)}\n`),
  });
  const item = await findItem(vault, 'record', argument(args, 0), everyType);
  const served = servedParts(item.item);
  const older = olderParts((await session.store.readMemory()).revs, served);
  if (older.length === 0) {
    session.client.close();
    if (cli.format === 'json') showJson(cli.terminal, { record_uid: item.uid, title: item.title, accepted: [] });
    else
      cli.terminal.err(
        `The router has “${plain(item.title)}” as new as this device saw it: there is nothing to accept.\n`,
      );
    return undefined;
  }
  for (const { part, seen, shown } of older) {
    const what = seen === shown ? `another revision ${shown}` : `revision ${shown}`;
    cli.terminal.err(`${part}: the router has ${what}; this device saw revision ${seen}, which is given up.\n`);
  }
  if (older.some(({ part }) => part === 'secrets')) {
    cli.terminal.err(
      `The target may have the newer password. If a rotation made it, gateways give it back: see pam rotation resolve -r ${item.uid} afterwards.\n`,
    );
  }
  await confirmRemoval(cli, `Go on with what the router has of “${plain(item.title)}” (${item.uid})`, flags.yes);
  const facts = older.find(({ part }) => part === 'facts');
  const anew = facts === undefined ? undefined : await vault.sealAnew(item, facts.seen + 1);
  const body = { parts: [...older], ...(anew === undefined ? {} : { item: anew }) };
  await session.chain.call(acceptOlder, { params: { uid: item.uid }, body }, [item.uid]);
  // The new facts are above what was seen, as any later revision.
  const lowered = served.filter((one) => one.part === 'secrets' && older.some(({ part }) => part === 'secrets'));
  if (lowered.length > 0) await session.store.lowerRevisions(floorsAt(lowered));
  session.client.close();
  if (cli.format === 'json') {
    showJson(cli.terminal, { record_uid: item.uid, title: item.title, accepted: older });
  } else {
    cli.terminal.err(
      facts === undefined
        ? 'Accepted for this profile; other devices that saw more have to do the same.\n'
        : `Accepted: the facts are revision ${facts.seen + 1} now, for everybody.\n`,
    );
  }
  return undefined;
};
