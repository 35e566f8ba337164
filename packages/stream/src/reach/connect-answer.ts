/** What a proxy said to CONNECT, as far as it is known. */
export type ConnectAnswer =
  | { readonly kind: 'incomplete' }
  /** Not an HTTP answer, or an endless one; `why` goes behind "the proxy …". */
  | { readonly kind: 'garbled'; readonly why: string }
  | {
      readonly kind: 'answer';
      /** 200–599. */
      readonly status: number;
      /** At most 60 printable ASCII characters. */
      readonly reason: string;
      /** Names of the ways to sign in that a 407 offers, at most 8. */
      readonly schemes: readonly string[];
      /** Where the answer ends: what follows a 2xx is the router's. */
      readonly length: number;
    };

/** An answer to CONNECT is a status line and a few fields; browsers allow more, nobody needs it. */
export const answerMostBytes = 8_192;
const protocolName = 'HTTP/1.';

/**
 * Reads the head of a proxy's answer from the first bytes of a connection. Decides as soon as it can; looks at no more
 * than 8 KiB. Interim answers (1xx) are skipped. Length fields count for nothing: after a 2xx no body follows, and
 * after any other status the connection is closed (RFC 9110, sections 9.3.6 and 15.2).
 */
export function readConnectAnswer(bytes: Uint8Array): ConnectAnswer {
  let at = 0;
  for (;;) {
    const head = readHead(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(at, answerMostBytes));
    if (head.kind === 'incomplete' && bytes.length >= answerMostBytes) {
      return { kind: 'garbled', why: `has not ended its answer within ${answerMostBytes} bytes` };
    }
    if (head.kind !== 'answer') return head;
    at += head.length;
    if (head.status >= 200) return { ...head, length: at };
  }
}

function readHead(bytes: Buffer): ConnectAnswer {
  const opening = bytes.subarray(0, protocolName.length).toString('latin1');
  if (!protocolName.startsWith(opening)) return { kind: 'garbled', why: 'does not answer in HTTP/1' };
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return { kind: 'incomplete' };
  const [first = '', ...fields] = bytes.toString('latin1', 0, end).split('\r\n');
  const [, status, reason = ''] = /^HTTP\/1\.[01] ([1-5]\d\d)(?: (.*))?$/.exec(first) ?? [];
  if (status === undefined) return { kind: 'garbled', why: 'answers with a status line that is none' };
  const schemes = fields
    .map((field) => /^proxy-authenticate:[ \t]*([A-Za-z0-9-]{1,20})(?![A-Za-z0-9-])/i.exec(field)?.[1])
    .filter((scheme) => scheme !== undefined);
  return {
    kind: 'answer',
    status: Number(status),
    reason: reason.replaceAll(/[^ -~]/g, '?').slice(0, 60),
    schemes: schemes.slice(0, 8),
    length: end + 4,
  };
}
