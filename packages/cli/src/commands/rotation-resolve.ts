import {
  type AccountVersion,
  PamError,
  readRotation,
  resolveRotation,
  type UserSecrets,
  userSecretsSchema,
} from '@sallyport/protocol';
import { type JsonValue, openPart, sealPart } from '@sallyport/seal';
import { z } from 'zod';
import type { Cli, Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import type { User } from '../rotation/rotated-record.ts';
import { whyText } from '../rotation/watch-job.ts';
import { isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';
import { nowSeconds } from '../time/clock.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';
import { masked } from '../vault/show-record.ts';

const flagsSchema = z.object({
  record: z.string(),
  version: z.string().optional(),
  keep: z.boolean().default(false),
  unmask: z.boolean().default(false),
});

interface Known {
  readonly version: AccountVersion;
  readonly secrets: UserSecrets | null;
  readonly error: string | null;
}

/** `pam rotation resolve -r RECORD [--version N | --keep]`: shows what is known, or ends “needs attention”. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  if (flags.version !== undefined && flags.keep)
    throw new PamError('PAM_USAGE', '--version and --keep exclude each other');
  const session = await openVaultSession(cli);
  try {
    const user = await findItem(session.vault, 'record', flags.record, ['pamUser']);
    const { account, versions } = await session.client.call(readRotation, { params: { uid: user.uid } });
    if (flags.version === undefined && !flags.keep) {
      const known = await Promise.all(versions.map((version) => openVersion(session, user, version)));
      show(cli, user, account?.attention ?? null, account?.current ?? null, known, flags.unmask);
      return undefined;
    }
    const n = flags.keep ? null : readWhole('--version', flags.version ?? '', 0, 1_000_000_000);
    const secrets = n === null ? null : await chosen(cli, session, user, versions, n);
    const body = { version: n, ...(secrets === null ? {} : { secrets }) };
    await session.chain.call(resolveRotation, { params: { uid: user.uid }, body }, [user.uid]);
    const what = n === null ? 'what the record holds stays' : `version ${n} is the record’s secret now`;
    if (cli.format === 'json') showJson(cli.terminal, { record_uid: user.uid, version: n, resolved: true });
    else cli.terminal.err(`Resolved: ${what}. Check it with: pam action check -r ${user.uid} --wait\n`);
    return undefined;
  } finally {
    session.close();
  }
};

async function keyOf(session: VaultSession, user: User, gen: number): Promise<Uint8Array> {
  const key = (await session.vault.allKeys(user.app)).find((one) => one.part === 'secrets' && one.gen === gen)?.key;
  if (key !== undefined) return key;
  throw new PamError('PAM_NOT_ALLOWED', `you hold no secrets key of generation ${gen} of this application`);
}

async function openVersion(session: VaultSession, user: User, version: AccountVersion): Promise<Known> {
  try {
    const key = await keyOf(session, user, version.gen);
    const { app, uid } = user;
    const place = { app, uid, type: 'pamUser', part: 'secrets', gen: version.gen, rev: version.rev } as const;
    const { body } = await openPart(version.envelope, place, key, session.log.state());
    return { version, secrets: userSecretsSchema.parse(body), error: null };
  } catch (reason) {
    const error = PamError.from(reason, 'PAM_SEAL_BROKEN', 'this version is not understood');
    return { version, secrets: null, error: `${error.code} ${error.message}` };
  }
}

/** The chosen version, sealed by this device as the record's next revision. */
async function chosen(cli: Cli, session: VaultSession, user: User, versions: readonly AccountVersion[], n: number) {
  const version = versions.find((one) => one.n === n);
  if (version === undefined) {
    throw new PamError('PAM_NOT_FOUND', `the account of “${user.title}” has no version ${n}`, {
      remedy: `See pam rotation resolve -r ${user.uid}.`,
    });
  }
  const { secrets, error } = await openVersion(session, user, version);
  if (secrets === null) throw new PamError('PAM_SEAL_BROKEN', `version ${n} cannot be opened: ${error ?? ''}`);
  const { gen, keys } = await session.vault.currentKeys(user.app, ['secrets']);
  const key = keys.get('secrets') ?? (await keyOf(session, user, gen));
  const rev = (user.item.parts.secrets?.rev ?? 0) + 1;
  const place = { app: user.app, uid: user.uid, type: 'pamUser', part: 'secrets', gen, rev } as const;
  const body = JSON.parse(JSON.stringify(secrets)) as JsonValue;
  return { rev, gen, envelope: await sealPart(place, body, key, session.device.key, nowSeconds(cli.clock)) };
}

function show(
  cli: Cli,
  user: User,
  attention: Parameters<typeof whyText>[0] | null,
  current: number | null,
  known: readonly Known[],
  unmask: boolean,
): void {
  const shown = (secrets: UserSecrets | null) => (secrets === null ? null : unmask ? secrets : masked(secrets));
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      record_uid: user.uid,
      attention,
      attention_text: attention === null ? null : whyText(attention),
      current_version: current,
      versions: known.map(({ version, secrets, error }) => ({
        n: version.n,
        state: version.state,
        rev: version.rev,
        at: isoTime(version.atMs),
        job_id: version.job,
        source: version.source,
        secrets: shown(secrets),
        error,
      })),
    });
    return;
  }
  cli.terminal.err(attention === null ? 'Nothing needs attention.\n' : `Needs attention: ${whyText(attention)}.\n`);
  showTable(
    cli.terminal,
    ['version', 'state', 'in the vault', 'sealed', 'job', 'from', 'secrets'],
    known.map(({ version, secrets, error }) => [
      version.n,
      version.state,
      version.n === current ? 'yes' : '',
      timeCell(version.atMs),
      version.job ?? '',
      version.source === null ? '' : `journal of ${version.source.slice(0, 6)}`,
      error ??
        Object.entries(shown(secrets) ?? {})
          .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
          .join(' '),
    ]),
  );
  cli.terminal.err(
    `Try them at the target (each refused login counts there), then: pam rotation resolve -r ${user.uid} --version N, or --keep.\n`,
  );
}
