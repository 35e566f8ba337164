import { Agent, request } from 'node:https';
import type { WireError } from '@sallyport/protocol';
import { type SigningKey, signProof } from '@sallyport/seal';

/** One answer of the API, as it came. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: unknown;
}

export interface Ask {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  /** Body as it goes over the wire, instead of `body`. */
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The router's API over real TLS, without any checks of its own. */
export function createApiClient(port: number): { ask: (what: Ask) => Promise<Answer>; close: () => void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 16, rejectUnauthorized: false });
  const ask = (what: Ask): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const text = what.text ?? (what.body === undefined ? undefined : JSON.stringify(what.body));
      const sent = request(
        {
          agent,
          host: '127.0.0.1',
          port,
          method: what.method,
          path: what.path,
          headers: {
            ...(text === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
            ...what.headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const answer = Buffer.concat(chunks).toString();
            const body: unknown = answer === '' ? null : JSON.parse(answer);
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
          });
        },
      );
      sent.on('error', reject);
      sent.end(text);
    });
  return { ask, close: () => agent.destroy() };
}

/** Headers of a signed-in device, RFC 9449. */
export async function dpopHeaders(
  what: { readonly method: string; readonly path: string; readonly nowSeconds?: number; readonly jti?: string },
  device: SigningKey,
  accessToken?: string,
): Promise<Record<string, string>> {
  const proof = await signProof(
    {
      method: what.method,
      url: `https://router.test${what.path.split('?')[0]}`,
      nowSeconds: what.nowSeconds ?? Math.floor(Date.now() / 1_000),
      ...(accessToken === undefined ? {} : { accessToken }),
      ...(what.jti === undefined ? {} : { jti: what.jti }),
    },
    device,
  );
  return { dpop: proof, ...(accessToken === undefined ? {} : { authorization: `DPoP ${accessToken}` }) };
}

/** The error of an answer; fails the test when there is none. */
export function errorOf(answer: Answer): WireError {
  const body = answer.body as { error?: WireError } | null;
  if (body?.error === undefined) throw new Error(`no error in ${answer.status} ${JSON.stringify(answer.body)}`);
  return body.error;
}
