import { type ClientRequest, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/** How one attempt ended. `why` is for the log: a status or a code, never the URL or what the endpoint said. */
export type PostOutcome =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'failed'; readonly why: string; readonly retryAfterMs: number | null };

export interface PostOrder {
  readonly url: URL;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The whole attempt, name look-up and answer included. */
  readonly withinMs: number;
  readonly after: (ms: number, fn: () => void) => () => void;
}

const mostAnswerBytes = 4_096;
const mostHeaderBytes = 8_192;

/**
 * One POST. What the endpoint does costs this attempt only: its answer counts by status, is read to 4 KiB and thrown
 * away, redirects are not followed, time is bounded. Never rejects.
 */
export function postWebhook(order: PostOrder): Promise<PostOutcome> {
  const { promise, resolve } = Promise.withResolvers<PostOutcome>();
  const { url, body } = order;
  const cancel = order.after(order.withinMs, () => end(failure('timeout')));
  const begin = url.protocol === 'http:' ? requestHttp : requestHttps;
  const headers = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...order.headers,
  };
  const asking: ClientRequest = begin(url, { method: 'POST', agent: false, maxHeaderSize: mostHeaderBytes, headers });
  function end(outcome: PostOutcome): void {
    cancel();
    resolve(outcome);
    asking.destroy();
  }
  asking.on('error', (reason: NodeJS.ErrnoException) => end(failure(reason.code ?? 'error')));
  asking.on('response', (answer) => {
    const status = answer.statusCode ?? 0;
    const outcome: PostOutcome =
      status >= 200 && status < 300
        ? { kind: 'delivered' }
        : failure(`status ${status}`, retryAfterMs(answer.headers['retry-after']));
    let bytes = 0;
    answer.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > mostAnswerBytes) end(outcome);
    });
    answer.on('error', () => end(outcome));
    answer.on('close', () => end(outcome));
  });
  asking.end(body);
  return promise;
}

function failure(why: string, retryAfter: number | null = null): PostOutcome {
  return { kind: 'failed', why, retryAfterMs: retryAfter };
}

/** Seconds only; a date would need the endpoint's clock to be right. */
function retryAfterMs(header: string | undefined): number | null {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1_000 : null;
}
