import { request as httpRequest } from 'node:http';
import { TLSSocket } from 'node:tls';
import { acknowledgeToken, isErrorCode, PamError, redeemToken, wireErrorSchema } from '@sallyport/protocol';
import {
  exportPrivate,
  formatHost,
  importSigningKey,
  type JoinConfig,
  newSigningKey,
  openTokenBlob,
  parseToken,
  pinOf,
  type PrivateJwk,
  type SigningKey,
  signProof,
  tokenLookup,
} from '@sallyport/seal';
import type { Reach } from '@sallyport/stream';
import { z } from 'zod';
import { openRouterTls } from '../agent/index.ts';
import { parseJson, readSmallFile, removeFile, writePrivateFile } from './private-file.ts';

const answerMaxBytes = 65_536;
const answerWithinMs = 10_000;
const keyMaxBytes = 4_096;

export interface Redeemed {
  readonly config: JoinConfig;
  /** Name of the token at the router; says nothing about it. */
  readonly lookup: string;
  /** Call once the configuration is safely written: the router then forgets the blob. */
  acknowledge(): Promise<void>;
}

interface Place {
  readonly host: string;
  readonly port: number;
}
interface Asker {
  readonly place: Place;
  readonly reach: Reach;
  readonly key: SigningKey;
  readonly nowMs: () => number;
}
interface Answer {
  readonly body: unknown;
  /** Pin of the key the server holds. */
  readonly pin: string;
}

/**
 * Redeems HOST[:PORT]:TOKEN. Only the token's HKDF name is sent, so the server needs no pin before; the configuration
 * inside then names the pins, and the server must hold one of those keys.
 *
 * @param keyFile - keeps the redeemer's key until the acknowledgement: with it one may ask again after a crash.
 * @throws PAM_TOKEN_INVALID, _UNKNOWN, _EXPIRED, _USED; PAM_ROUTER_UNREACHABLE, PAM_ROUTER_IMPOSTOR, PAM_PROXY_*.
 */
export async function redeem(tokenText: string, keyFile: string, reach: Reach, nowMs: () => number): Promise<Redeemed> {
  const { host, port, token } = parseToken(tokenText);
  const place = { host, port };
  const lookup = await tokenLookup(token);
  const key = await redeemerKey(keyFile);
  const asker: Asker = { place, reach, key, nowMs };
  const answer = await post(asker, redeemToken.path, { lookup });
  const parsed = redeemToken.reply.safeParse(answer.body);
  if (!parsed.success) throw unreachable(place, 'did not answer like a Sallyport router');
  const config = await openTokenBlob(token, parsed.data.blob);
  if (!config.pins.includes(answer.pin))
    throw new PamError(
      'PAM_ROUTER_IMPOSTOR',
      `the server at ${formatHost(host)}:${port} is not the router of this token`,
      {
        detail: { shown: answer.pin, pinned: config.pins.join(' ') },
      },
    );
  return {
    config,
    lookup,
    acknowledge: async () => {
      await post(asker, acknowledgeToken.path, { lookup });
      await removeFile(keyFile);
    },
  };
}

const keySchema = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string().length(43),
  y: z.string().length(43),
  d: z.string().length(43),
});

async function redeemerKey(file: string): Promise<SigningKey> {
  const kept = await readSmallFile(file, keyMaxBytes);
  if (kept !== undefined) {
    const jwk = keySchema.safeParse(parseJson(kept));
    if (jwk.success) return importSigningKey(jwk.data satisfies PrivateJwk);
  }
  const key = await newSigningKey();
  await writePrivateFile(file, JSON.stringify(await exportPrivate(key)));
  return key;
}

function unreachable(place: Place, why: string, cause?: unknown): PamError {
  return new PamError('PAM_ROUTER_UNREACHABLE', `${formatHost(place.host)}:${place.port} ${why}`, { cause });
}

async function post({ place, reach, key, nowMs }: Asker, path: string, body: object): Promise<Answer> {
  const url = `https://${formatHost(place.host)}:${place.port}${path}`;
  const proof = await signProof({ method: 'POST', url, nowSeconds: Math.floor(nowMs() / 1_000) }, key);
  const { status, text, certificate } = await exchange(place, reach, path, JSON.stringify(body), proof);
  const value = parseJson(text);
  if (status >= 200 && status < 300) return { body: value, pin: await pinOf(certificate) };
  const failed = z.strictObject({ error: wireErrorSchema }).safeParse(value);
  if (!failed.success) throw unreachable(place, `answered HTTP ${status}`);
  const { code, message, remedy, detail } = failed.data.error;
  throw new PamError(isErrorCode(code) ? code : 'PAM_INTERNAL', message, { remedy, detail });
}

interface Exchange {
  readonly status: number;
  readonly text: string;
  readonly certificate: Uint8Array;
}

async function exchange(place: Place, reach: Reach, path: string, body: string, proof: string): Promise<Exchange> {
  const signal = AbortSignal.timeout(answerWithinMs);
  const tls = await openRouterTls(place, reach, signal).catch((reason: unknown) => {
    throw PamError.from(reason, 'PAM_ROUTER_UNREACHABLE', `${formatHost(place.host)}:${place.port} does not answer`);
  });
  const { promise, resolve, reject } = Promise.withResolvers<Exchange>();
  const request = httpRequest({
    path,
    method: 'POST',
    createConnection: () => tls,
    signal,
    headers: {
      host: `${formatHost(place.host)}:${place.port}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      DPoP: proof,
    },
  });
  request.on('error', (reason: NodeJS.ErrnoException) =>
    reject(unreachable(place, `cannot be reached (${reason.code ?? reason.message})`, reason)),
  );
  request.on('response', (response) => {
    const { socket } = response;
    const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.raw : undefined;
    const certificate = new Uint8Array(shown ?? []);
    const chunks: Buffer[] = [];
    let size = 0;
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > answerMaxBytes) request.destroy();
      else chunks.push(chunk);
    });
    response.on('error', (reason) => reject(unreachable(place, 'broke the answer off', reason)));
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8'), certificate }),
    );
  });
  request.end(body);
  return promise;
}
