import { existsSync } from 'node:fs';
import { PamError } from '@sallyport/protocol';
import { newSetupCode } from '@sallyport/seal';
import type { Command } from 'commander';
import { openStore, restoreStore, type Store, storeFiles } from '../store/index.ts';
import { systemClock } from '../system-clock.ts';
import { placeOf } from './flags.ts';
import { backupStore, inspectStore } from './inspect-store.ts';
import { writeSetupFile } from './setup-desk.ts';
import { readStateFile } from './state-file.ts';

/** Prints a fresh setup line; the code before is void. Works beside a running router. */
export async function runSetupCode(command: Command): Promise<number> {
  const { dataDir } = placeOf(command);
  const state = readStateFile(dataDir);
  if (state.claimed) throw new PamError('PAM_ROUTER_CLAIMED', 'this router already has an owner');
  const { code, secretHash } = await newSetupCode(state.pin);
  writeSetupFile(dataDir, secretHash, systemClock().nowMs());
  process.stdout.write(`pam setup ${state.publicName} ${code}\n`);
  if (state.pid === null) process.stderr.write('The router does not run now: start it, it prints a code of its own.\n');
  return 0;
}

/** Integrity, schema and counts; exit 1 with PAM_STORE_DAMAGED when something is wrong. */
export async function runCheck(command: Command): Promise<number> {
  const { dataDir, databaseUrl } = placeOf(command);
  if (databaseUrl !== undefined) return checkDatabase(databaseUrl);
  const report = inspectStore(dataDir);
  process.stdout.write(`schema ${report.schema}\n`);
  for (const [table, rows] of Object.entries(report.counts)) process.stdout.write(`${table} ${rows}\n`);
  if (report.closedSinceMs !== null) {
    const at = new Date(report.closedSinceMs).toISOString();
    process.stdout.write(`restored on ${at}: no new entry of the trust log before pam trust reopen\n`);
  }
  if (report.faults.length > 0) {
    throw new PamError('PAM_STORE_DAMAGED', `${report.faults.length} faults, the first: ${report.faults[0] ?? ''}`);
  }
  process.stdout.write('the store is sound\n');
  return 0;
}

async function checkDatabase(databaseUrl: string): Promise<number> {
  const clock = systemClock();
  const store = await openStore({ databaseUrl }, { nowMs: clock.nowMs, onFatal: () => undefined });
  try {
    const faults = await store.check();
    if (faults.length > 0) throw new PamError('PAM_STORE_DAMAGED', faults.join('; '));
    process.stdout.write(`incarnation ${store.incarnation}\nthe store is sound\n`);
    return 0;
  } finally {
    await store.close();
  }
}

function embeddedOnly(command: Command, tool: string): string {
  const { dataDir, databaseUrl } = placeOf(command);
  if (databaseUrl === undefined) return dataDir;
  throw new PamError('PAM_USAGE', `a PostgreSQL store is not handled here`, {
    remedy: `Use ${tool} with the database URL.`,
  });
}

export async function runBackup(file: string, command: Command): Promise<number> {
  backupStore(embeddedOnly(command, 'pg_dump'), file);
  process.stdout.write(`${file}\n`);
  return 0;
}

/** Off line only; the store that was there is kept beside the new one. */
export async function runRestore(file: string, command: Command): Promise<number> {
  const dataDir = embeddedOnly(command, 'pg_restore');
  const { incarnation, kept } = restoreStore({ dataDir, from: file, nowMs: systemClock().nowMs() });
  process.stdout.write(`restored as incarnation ${incarnation}\n`);
  tellWhatNext();
  if (kept !== null) process.stdout.write(`the store that was there is ${kept}\n`);
  return 0;
}

/** What `restore` does to a store that was put in place by something else: `pg_restore`, a snapshot, a copied file. */
export async function runRestored(command: Command): Promise<number> {
  return onStore(command, async (store) => {
    const replaced = { incarnation: 0, lastStart: 0, entries: [] };
    const incarnation = await store.trust.markRestored({ replaced, nowMs: systemClock().nowMs() });
    process.stdout.write(`marked as restored, incarnation ${incarnation}\n`);
    tellWhatNext();
  });
}

/** Lets the trust log take new entries where no device is left that could say so. */
export async function runReopen(command: Command): Promise<number> {
  return onStore(command, async (store) => {
    const reopened = await store.trust.reopenStore({});
    process.stdout.write(reopened ? 'the trust log takes new entries\n' : 'the trust log was not closed\n');
  });
}

function tellWhatNext(): void {
  process.stderr.write(
    'Start the router. Devices and instances give back what they know of the trust log; it takes new entries after pam trust reopen.\n',
  );
}

async function onStore(command: Command, work: (store: Store) => Promise<void>): Promise<number> {
  const { dataDir, databaseUrl } = placeOf(command);
  const place = databaseUrl === undefined ? { dataDir } : { databaseUrl };
  if ('dataDir' in place && !existsSync(storeFiles(dataDir).file)) {
    throw new PamError('PAM_NOT_FOUND', `there is no store in ${dataDir}`);
  }
  const store = await openStore(place, { nowMs: systemClock().nowMs, onFatal: () => undefined });
  try {
    await work(store);
    return 0;
  } finally {
    await store.close();
  }
}
