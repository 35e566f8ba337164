import { type AccountRows, type Decision, fencedOff, type Holder, moved, refuse } from './account-rows.ts';

const permitted = ['intent', 'permitted', 'applied'];

/**
 * The right to write once, under a number above every one before (R3, R5), for the candidate that is stored (R7).
 *
 * @param request.mark - highest number that the target shows.
 * @param request.adds - the target keeps what opened it before beside what is written: it is left over until it is removed.
 * @param request.address - where the write goes, as the store keeps it; a takeover probes there.
 */
export function decidePermit(
  rows: AccountRows,
  request: Holder & { readonly mark: number; readonly adds: boolean; readonly address: string },
): Decision<{ readonly send: number }> {
  const { account, job } = rows;
  const fenced = fencedOff(job, request);
  if (fenced !== null) return refuse(rows, fenced.code, fenced.why);
  if (job.candidate === null) return refuse(rows, 'PAM_CONFLICT', 'no candidate is stored');
  if (!permitted.includes(job.step)) return refuse(rows, 'PAM_CONFLICT', `nothing is written any more at ${job.step}`);
  const send = Math.max(account.send, request.mark) + 1;
  return {
    ok: true,
    rows: {
      ...rows,
      account: { ...account, send, leftover: account.leftover ?? (request.adds ? send : null) },
      job: {
        ...moved(job, 'permitted'),
        sends: [...job.sends, { send, version: job.candidate, outcome: null }],
        address: request.address,
      },
    },
    answer: { send },
  };
}
