import { PamError, recordTypes, type UserSecrets, userSecretsSchema } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { argument, readFlags } from '../flags.ts';
import { isoTime, showJson, showTable } from '../terminal/show.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';
import { masked, recordJson } from '../vault/show-record.ts';
import { checkFacts } from '../vault/facts.ts';
import type { OpenedItem } from '../vault/vault.ts';

const flagsSchema = z.object({ unmask: z.boolean().default(false), version: z.string().optional() });

/** `pam record get RECORD`: facts; secrets as stars unless `--unmask`; an earlier revision with `--version`. */
export const run: Run = async (cli, args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const session = await openVaultSession(cli);
  const item = await findItem(session.vault, 'record', argument(args, 0), recordTypes);
  const shown = flags.version === undefined ? await newest(session, item) : await earlier(session, item, flags.version);
  const applications = await session.vault.applications();
  session.close();
  const json = { ...recordJson(shown.item, applications, shown.secrets, flags.unmask), ...shown.extra };
  if (cli.format === 'json') {
    showJson(cli.terminal, json);
    return undefined;
  }
  const { fields, secrets: _, ...head } = json as Record<string, unknown> & { fields: Record<string, unknown> };
  const secrets = shown.secrets === null ? {} : flags.unmask ? shown.secrets : masked(shown.secrets);
  const rows = [...Object.entries(head), ...Object.entries(fields), ...Object.entries(secrets)];
  showTable(
    cli.terminal,
    ['field', 'value'],
    rows
      .filter(([, value]) => !isEmpty(value))
      .map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
  return undefined;
};

interface Shown {
  readonly item: OpenedItem<(typeof recordTypes)[number]>;
  readonly secrets: UserSecrets | null;
  readonly extra: Record<string, unknown>;
}

async function newest(session: VaultSession, item: Shown['item']): Promise<Shown> {
  return { item, secrets: await session.vault.secrets(item), extra: {} };
}

async function earlier(session: VaultSession, item: Shown['item'], version: string): Promise<Shown> {
  const rev = Number(version);
  if (!/^\d{1,9}$/.test(version)) throw new PamError('PAM_USAGE', `--version: “${version}” is not a revision number`);
  const history = await session.vault.history(item);
  const facts = history.find((one) => one.part === 'facts' && one.rev === rev);
  if (facts === undefined) {
    throw new PamError('PAM_NOT_FOUND', `“${item.title}” has no revision ${rev}`, {
      remedy: 'See pam record history.',
    });
  }
  const old = checkFacts(item.type, facts.body);
  const secrets = history.find((one) => one.part === 'secrets' && one.atMs <= facts.atMs + 999);
  return {
    item: { ...item, facts: old, title: old.title, factsRev: rev, author: facts.author },
    secrets: secrets === undefined ? null : userSecretsSchema.parse(secrets.body),
    extra: { sealed_on: isoTime(facts.atMs), newest_revision: item.factsRev },
  };
}

function isEmpty(value: unknown): boolean {
  return (
    value === null ||
    value === undefined ||
    (Array.isArray(value) && value.length === 0) ||
    (typeof value === 'object' && Object.keys(value).length === 0)
  );
}
