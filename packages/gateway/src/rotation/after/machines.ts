import { isUsableOn, type ItemUid, PamError, type ResourceFacts } from '@sallyport/protocol';
import { openSsh, secretsOf, type SshHost } from '../../kind/index.ts';
import { anyCredential } from '../credential.ts';
import { endpointOf } from '../endpoint.ts';
import type { AfterRun } from '../execute/job-deps.ts';
import type { OpenedJob } from '../open-job.ts';

/** Where something runs, as its signature says it. */
interface MachineWanted {
  /** Undefined: the resource of the account. */
  readonly machine?: ItemUid | undefined;
  /** Undefined: the administrative credential of the machine. */
  readonly as?: ItemUid | undefined;
}

/** A Linux machine that is logged in to, and what of the login must never be told. */
export interface Machine {
  readonly host: SshHost;
  readonly secrets: readonly string[];
}

/** Linux machines of one job: each is logged in to once, with one attempt, whatever runs there. */
export interface Machines {
  /**
   * @throws PAM_ORDER_INVALID when record, configuration or credential do not fit; PAM_TARGET_UNREACHABLE when the login
   *   does not open. A login that did not open is not tried again.
   */
  open(wanted: MachineWanted): Promise<Machine>;
  /** Ends the connection; the next `open` makes another. */
  drop(machine: Machine): Promise<void>;
  close(): Promise<void>;
}

const misfit = (message: string): PamError => new PamError('PAM_ORDER_INVALID', message);

export function createMachines(job: OpenedJob, run: AfterRun): Machines {
  const opened = new Map<string, Promise<Machine>>();

  async function login({ machine, as }: MachineWanted): Promise<Machine> {
    const uid = machine ?? job.settings.resource;
    if (uid === null) throw misfit('the account has no resource, and no machine is named');
    const { type } = job.items.item(uid);
    if (type !== 'pamMachine') throw misfit(`the resource is a ${type}: name the machine it runs on`);
    const facts = await job.items.resource(uid);
    if (facts.configuration !== job.configuration.uid) throw misfit('the machine has another PAM configuration');
    if (facts.permissions.rotation === 'off') throw misfit('rotation is off in the machine');
    const { username, credential } = await credentialFor(uid, facts, as);
    const endpoint = await endpointOf(job.items, uid, facts, job.configuration.facts, []);
    const io = run.ioOf(endpoint);
    const outcome = await openSsh(endpoint.target, { username, credential }, io, run.signal);
    if (outcome.kind !== 'connected') {
      throw new PamError('PAM_TARGET_UNREACHABLE', `no login to the machine: ${outcome.kind}: ${outcome.message}`);
    }
    await run.keepFirstSeen(endpoint, io);
    const host = { connection: outcome.connection, login: { username, credential }, io };
    return { host, secrets: secretsOf(credential) };
  }

  async function credentialFor(uid: ItemUid, facts: ResourceFacts, as: ItemUid | undefined) {
    const record = as ?? facts.credentials.find(({ role }) => role === 'admin')?.record;
    if (record === undefined) throw misfit('the machine has no administrative credential, and none is named');
    const user = await job.items.user(record);
    if (!isUsableOn(user, uid, facts)) throw misfit('the credential does not name the machine as it is now');
    // The account itself may be the one that logs in: with what it opens with since a moment ago.
    const secrets = record === job.offer.record ? run.newSecrets : await job.items.secrets(record);
    const credential = anyCredential(secrets);
    if (credential === null) throw misfit('the credential has no secret');
    return { username: user.login, credential };
  }

  const keyOf = ({ machine, as }: MachineWanted): string => `${machine ?? ''} ${as ?? ''}`;

  return {
    open: async (wanted) => {
      const key = keyOf(wanted);
      const before = await opened.get(key);
      if (before !== undefined && !before.host.connection.isOver()) return before;
      const next = login(wanted);
      opened.set(key, next);
      return next;
    },
    drop: ({ host }) => host.connection.close(),
    close: async () => {
      for (const one of await Promise.allSettled(opened.values())) {
        if (one.status === 'fulfilled') await one.value.host.connection.close();
      }
    },
  };
}
