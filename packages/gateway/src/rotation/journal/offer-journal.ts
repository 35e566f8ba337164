import { PamError, type Peer } from '@sallyport/protocol';
import type { Log } from '../../agent/index.ts';
import type { CandidateJournal, KeptEntry } from './candidate-journal.ts';

/** Gives a router back what its store lost. */
export interface JournalOffers {
  linked(call: Peer<'instance'>['call']): void;
  unlinked(): void;
}

const pageEntries = 64;
const answerWithinMs = 20_000;

/**
 * Compares the journal with the store of each router that it is linked to, once for every start of that router: a store is
 * exchanged only while its router does not run. One question at a time; a link that is lost is made up for by the next.
 */
export function createJournalOffers(deps: { readonly journal: CandidateJournal; readonly log: Log }): JournalOffers {
  const { journal, log } = deps;
  let comparedStart: number | null = null;
  let current: Peer<'instance'>['call'] | null = null;

  async function compareAll(call: Peer<'instance'>['call']): Promise<void> {
    const { start } = await call('journal.compare', { entries: [] }, { timeoutMs: answerWithinMs });
    if (start === comparedStart) return;
    const kept = journal.entries();
    let given = 0;
    for (let from = 0; from < kept.length && current === call; from += pageEntries) {
      const page = kept.slice(from, from + pageEntries);
      const entries = page.map(({ account, server, record, job, digest }) => ({
        ...{ account, server, record, job, digest },
        ...journal.seen(account),
      }));
      const { wanted } = await call('journal.compare', { entries }, { timeoutMs: answerWithinMs });
      // Oldest first: of what comes back the newest has the highest number, and is tried before the others.
      for (const entry of page.filter(({ digest }) => wanted.includes(digest))) {
        if (await give(call, entry)) given += 1;
      }
    }
    if (current !== call) return;
    comparedStart = start;
    if (given > 0) log.warn('the router lost candidates and got them back', { candidates: given });
  }

  async function give(call: Peer<'instance'>['call'], entry: KeptEntry): Promise<boolean> {
    const envelope = await journal.envelope(entry.digest);
    if (envelope === null) return false;
    const { account, record, job, rev, gen, atMs } = entry;
    const params = { account, record, job, rev, gen, envelope, atMs };
    try {
      await call('journal.recover', params, { timeoutMs: answerWithinMs });
      return true;
    } catch (reason) {
      if (!(reason instanceof PamError) || reason.code !== 'PAM_CONFLICT') throw reason;
      log.warn('a candidate was not taken back', { record, job, error: reason.message });
      return false;
    }
  }

  return {
    linked: (call) => {
      current = call;
      compareAll(call).catch((reason: unknown) => {
        const code = reason instanceof PamError ? reason.code : 'PAM_INTERNAL';
        log.info('the journal of candidates is compared at the next link', { code, error: String(reason) });
      });
    },
    unlinked: () => {
      current = null;
    },
  };
}
