import { resolve } from 'node:path';
import { PamError, type ResourceFacts, resourceTypes } from '@sallyport/protocol';
import { z } from 'zod';
import { reachOf } from '../api/reach-of.ts';
import type { Cli, Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { readText, writeWhole } from '../profile/file-store.ts';
import { aliasesOf, hostBlocks, type SshHost, sshConfigHead } from '../ssh/host-blocks.ts';
import { showJson } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';
import { findItem } from '../vault/find-item.ts';
import { openVaultSession, type VaultSession } from '../vault/open-session.ts';
import { effectivePermission } from '../vault/permissions.ts';
import type { OpenedItem } from '../vault/vault.ts';

const flagsSchema = z.object({ write: z.string().min(1).max(4_096).optional() });
const fileLimitBytes = 16 * 1_024 * 1_024;

type Resource = OpenedItem<(typeof resourceTypes)[number]>;

/** `pam ssh-config [RECORD…]`: blocks for ssh, of the records named, else of every machine that tunnels may reach. */
export const run: Run = async (cli, args, rawFlags) => {
  const { write } = readFlags(flagsSchema, rawFlags);
  if (write !== undefined) await refuseForeign(write);
  const session = await openVaultSession(cli);
  const { records, skipped } = args.length === 0 ? await reachable(session) : await named(session, args);
  const hosts = await Promise.all(records.map(async (record) => sshHost(session, record)));
  const command = programOf(cli, session.store.name);
  session.close();
  const text = hostBlocks(hosts, command);
  if (write !== undefined) await writeWhole(write, text);
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      hosts: hosts.map((host) => ({ record_uid: host.recordUid, aliases: aliasesOf(host, hosts), user: host.login })),
      ...(write === undefined ? {} : { output: write }),
    });
  } else if (write === undefined) cli.terminal.out(text);
  if (write !== undefined) {
    cli.terminal.err(
      `${hosts.length} hosts are in ${plain(write)}. Put this line at the top of ~/.ssh/config: Include ${plain(resolve(write))}\n`,
    );
  }
  if (skipped > 0) cli.terminal.err(`${skipped} machines are left out: no PAM configuration, or tunneling is off.\n`);
  return undefined;
};

/** A file that ssh reads is replaced only when this command wrote it. PAM_CONFLICT. */
async function refuseForeign(path: string): Promise<void> {
  const text = await readText(path, fileLimitBytes);
  if (text === null || text.startsWith(sshConfigHead)) return;
  throw new PamError('PAM_CONFLICT', `${path} was not written by pam ssh-config and is left as it is`, {
    remedy: 'Give the name of a new file, and include it in your ssh_config.',
  });
}

async function named(session: VaultSession, names: readonly string[]) {
  const records: Resource[] = [];
  for (const name of names) {
    const record = await findItem(session.vault, 'record', name, resourceTypes);
    if (!records.some((one) => one.uid === record.uid)) records.push(record);
  }
  return { records, skipped: 0 };
}

async function reachable(session: VaultSession) {
  const machines = await session.vault.allItems(['pamMachine']);
  const configurations = await session.vault.allItems(['pamNetworkConfiguration']);
  const records: Resource[] = machines.filter((machine) => {
    const configuration = configurations.find((one) => one.uid === machine.facts.configuration);
    return effectivePermission('tunneling', machine.facts.permissions, configuration?.facts.permissions ?? null).on;
  });
  return { records, skipped: machines.length - records.length };
}

/** The login of a record's one launch credential; who has several chooses by hand. */
async function sshHost(session: VaultSession, record: Resource): Promise<SshHost> {
  const facts: ResourceFacts = record.facts;
  const launch = facts.credentials.filter((link) => link.role === 'launch');
  const [only] = launch;
  const user = launch.length === 1 && only !== undefined ? await session.vault.item(only.record) : null;
  const login = user?.type === 'pamUser' ? (user as OpenedItem<'pamUser'>).facts.login : '';
  return { recordUid: record.uid, title: record.title, login: login === '' ? null : login };
}

/** The proxy that was asked for, unless it has a password: that stays out of files and of the list of processes. */
function proxyWords(cli: Cli): readonly string[] {
  if (cli.proxy === undefined || cli.proxy === '') return [];
  const { proxy } = reachOf(cli);
  if (proxy === null) return ['--proxy', 'none'];
  if (proxy.authorization === null) return ['--proxy', proxy.shown];
  cli.terminal.err(
    'The proxy is not written, because it has a password: set SALLYPORT_PROXY, or "proxy" in pam.json.\n',
  );
  return [];
}

/** The program that runs now, by absolute paths: ssh is started by cron, ansible and editors with other PATHs. */
function programOf(cli: Cli, profile: string): readonly string[] {
  const home = cli.env['SALLYPORT_HOME'];
  const words = [
    ...(home === undefined || home === '' ? [] : ['env', `SALLYPORT_HOME=${resolve(home)}`]),
    ...[process.execPath, ...process.execArgv, resolve(process.argv[1] ?? 'pam'), '--profile', profile],
    ...proxyWords(cli),
  ];
  if (words.some((word) => /[\u0000-\u001f\u007f]/.test(word))) {
    throw new PamError('PAM_CONFIG_INVALID', 'the path of pam or of its home has a control character in it', {
      remedy: 'Move it to a path without.',
    });
  }
  return words;
}
