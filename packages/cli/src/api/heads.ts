import { type Head, headSchema, PamError } from '@sallyport/protocol';
import type { RouterHead } from '@sallyport/seal';
import type { Memory } from '../profile/memory.ts';

/** Response headers by which the router says where its two logs end. */
export const auditHeadHeader = 'sallyport-audit-head';
export const logHeadHeader = 'sallyport-log-head';

/** Reads `n:hash`; null when the header is absent, PAM_BAD_REQUEST when it is not one. */
export function parseLogHead(text: string | undefined): Head | null {
  if (text === undefined || text === '') return null;
  const [n, hash] = text.split(':');
  const parsed = headSchema.safeParse({ n: Number(n), hash });
  if (parsed.success) return parsed.data;
  throw new PamError('PAM_BAD_REQUEST', `the router sent a malformed ${logHeadHeader} header`);
}

/**
 * Compares the trust log's head that the router names with the one known when the request was sent.
 *
 * @returns whether there are entries to fetch. PAM_TRUST_SHORTENED, PAM_TRUST_FORKED.
 */
export function compareLogHead(known: Head | null, shown: Head): 'same' | 'newer' {
  if (known === null || shown.n > known.n) return 'newer';
  if (shown.n < known.n) throw shortened(shown.n, known.n);
  if (shown.hash !== known.hash) {
    throw new PamError('PAM_TRUST_FORKED', `the router shows another entry ${known.n} of the trust log than before`);
  }
  return 'same';
}

export function shortened(shown: number, known: number): PamError {
  return new PamError(
    'PAM_TRUST_SHORTENED',
    `the router names entry ${shown} as the last of its trust log; entry ${known} was seen before`,
    { detail: { why: 'head', shown, known } },
  );
}

/**
 * Compares a signed head of the router's audit log with what was known when the request was sent. PAM_AUDIT_BROKEN when
 * it is behind (events were cut off) or contradicts it (another history).
 */
export function checkAuditHead(known: Memory['auditHeads'], head: RouterHead): void {
  const latest = Math.max(-1, ...Object.keys(known).map(Number));
  if (head.start < latest) {
    throw new PamError('PAM_AUDIT_BROKEN', `the router shows an audit head of an earlier start than one seen before`);
  }
  const before = known[String(head.start)];
  if (before === undefined) return;
  if (head.seq < before.seq) {
    throw new PamError(
      'PAM_AUDIT_BROKEN',
      `the audit log ends at event ${head.seq}; event ${before.seq} was seen before`,
    );
  }
  if (head.seq === before.seq && head.hash !== before.hash) {
    throw new PamError('PAM_AUDIT_BROKEN', `the router shows another event ${head.seq} of its audit log than before`);
  }
}
