import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { PamError, type Right, toWireError, errorCatalog } from '@sallyport/protocol';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type AuditTrail, checkActorEvent } from '../audit/index.ts';
import type { TrustLog } from '../trust/index.ts';
import { type AuthenticateDeps, authenticate, provenKey } from './authenticate.ts';
import { type Binding, type Caller, type CallerCall, checked, type PublicCall } from './call.ts';

/**
 * The HTTP API: every binding is served by one loop, in the same stages.
 *
 * H1 headers and body size are limited before anything is parsed; the body's limit is the route's own.
 * H2 sign-in, proof, device and right are checked before query and body are looked at.
 * H3 every error leaves as {error: WireError} with the status of the catalogue; what nobody expected is PAM_INTERNAL
 *    with the request's id, its cause only in the log.
 */
export interface ApiDeps extends AuthenticateDeps {
  /** The client's address, also behind a balancer. */
  readonly addressOf: (socket: Socket) => string;
  readonly trust: TrustLog;
  readonly audit: AuditTrail;
  readonly bindings: readonly Binding[];
  readonly tls: { readonly certificatePem: string; readonly privateKeyPem: string };
  /** After each answer; `route` is the template, '' when none was met. */
  readonly answered?: (answer: { readonly route: string; readonly status: number; readonly ms: number }) => void;
  readonly unexpected: (error: unknown, fields: { readonly request: string; readonly route: string }) => void;
}

export interface ApiServer {
  readonly app: FastifyInstance;
  /** Never listens itself: its sockets come from the relay. */
  readonly https: Server;
}

const limits = {
  headerBytes: 32_768,
  headersMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 65_000,
  handshakeMs: 10_000,
} as const;
const paramSchema = z.string().regex(/^[\w-]{1,64}$/);

/** Errors of the HTTP library, in our words. */
function fromFastify(error: unknown, limitBytes: number): PamError | null {
  const code: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined;
  const status: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'statusCode') : undefined;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new PamError('PAM_TOO_LARGE', `the body is over the limit of ${limitBytes} bytes`, {
      detail: { limitBytes },
    });
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new PamError('PAM_BAD_REQUEST', 'the body must be application/json');
  }
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new PamError('PAM_BAD_REQUEST', 'the request or its JSON body is malformed', { cause: error });
  }
  return null;
}

function withoutEvent(body: unknown): unknown {
  if (typeof body !== 'object' || body === null) return body;
  const { event: _event, ...rest } = body as Record<string, unknown>;
  return rest;
}

export async function createApiServer(deps: ApiDeps): Promise<ApiServer> {
  const made: { https?: Server } = {};
  const app = Fastify({
    serverFactory: (handler) => {
      const https = createServer(
        {
          cert: deps.tls.certificatePem,
          key: deps.tls.privateKeyPem,
          minVersion: 'TLSv1.3',
          maxHeaderSize: limits.headerBytes,
          headersTimeout: limits.headersMs,
          requestTimeout: limits.requestMs,
          keepAliveTimeout: limits.keepAliveMs,
          handshakeTimeout: limits.handshakeMs,
        },
        handler,
      );
      made.https = https;
      return https;
    },
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 64 },
  });
  // An empty body is no body: clients send content-type with DELETE and POST alike.
  app.removeAllContentTypeParsers();
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (text === '') return done(null, {});
    void parseJson(request, String(text), done);
  });

  const fail = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    let known = error instanceof PamError ? error : fromFastify(error, request.routeOptions.bodyLimit ?? 0);
    if (known === null || known.code === 'PAM_INTERNAL') {
      deps.unexpected(error, { request: request.id, route: request.routeOptions.url ?? '' });
      known = new PamError('PAM_INTERNAL', 'the router failed to answer', { detail: { request: request.id } });
    }
    if (known.code === 'PAM_TOO_LARGE') void reply.header('connection', 'close');
    void reply.status(errorCatalog[known.code].http).send({ error: toWireError(known) });
  };
  app.setErrorHandler((error, request, reply) => fail(error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    fail(
      new PamError(
        'PAM_NOT_FOUND',
        `there is no route ${request.method} ${request.url.split('?')[0] ?? ''}`.slice(0, 256),
      ),
      request,
      reply,
    ),
  );
  app.addHook('onRequest', async (_request, reply) => {
    void reply.headers({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'cross-origin-resource-policy': 'same-origin',
    });
  });

  app.addHook('onResponse', async (request, reply) => {
    const route = request.is404 ? '' : `${request.method} ${request.routeOptions.url ?? ''}`;
    deps.answered?.({ route, status: reply.statusCode, ms: reply.elapsedTime });
  });

  for (const binding of deps.bindings) serve(app, deps, binding);
  await app.ready();
  const server = made.https;
  if (server === undefined) throw new PamError('PAM_INTERNAL', 'the HTTP server was not made');
  // Without it headersTimeout and requestTimeout never run on a server that does not listen (proven 4).
  server.emit('listening');
  return { app, https: server };
}

function needRight(deps: ApiDeps, caller: Caller, right: Right): void {
  if (deps.trust.state().grants(caller.device, right)) return;
  throw new PamError('PAM_NOT_ALLOWED', `the right '${right}' is missing`, { detail: { right } });
}

function serve(app: FastifyInstance, deps: ApiDeps, binding: Binding): void {
  const { route } = binding;
  const callers = new WeakMap<FastifyRequest, Caller>();

  /** H2: before the body is read. */
  async function onRequest(request: FastifyRequest): Promise<void> {
    if (binding.access === 'public') return;
    const path = request.url.split('?')[0] ?? '';
    const caller = await authenticate(deps, { method: request.method, path, headers: request.headers });
    if (route.access === 'device' && !caller.inLog) {
      throw new PamError('PAM_DEVICE_UNKNOWN', 'this device is not in the trust log yet');
    }
    if (route.right !== undefined) needRight(deps, caller, route.right);
    callers.set(request, caller);
  }

  async function run(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const path = request.url.split('?')[0] ?? '';
    const raw: unknown = request.body === undefined ? {} : request.body;
    const base = {
      query: checked(route.query, { ...(request.query as object) }, 'query') as never,
      body: checked(route.body, raw, 'body') as never,
      address: deps.addressOf(request.raw.socket),
      param: <S extends z.ZodType>(name: string, schema: S): z.output<S> =>
        checked(schema, checked(paramSchema, Reflect.get(request.params as object, name), name), name),
    };
    if (binding.access === 'public') {
      const call: PublicCall<never, never> = {
        ...base,
        raw,
        prove: () => provenKey(deps, { method: request.method, path, headers: request.headers }),
      };
      return binding.run(call);
    }
    const caller = callers.get(request);
    if (caller === undefined) throw new PamError('PAM_NOT_SIGNED_IN', 'the request carries no access token');
    const call: CallerCall<never, never> = {
      ...base,
      caller,
      need: (right) => needRight(deps, caller, right),
      signed: (kind, body) => {
        const key = deps.trust.state().devices.get(caller.device)?.key;
        if (key === undefined) throw new PamError('PAM_DEVICE_UNKNOWN', 'this device is not in the trust log');
        return checkActorEvent(String(Reflect.get(raw as object, 'event')), {
          actor: caller.device,
          key,
          act: `${request.method} ${path}`,
          content: withoutEvent(raw),
          kind,
          body: { person: caller.person, device: caller.device, ...body },
          nowMs: deps.clock.nowMs(),
        });
      },
    };
    const answer = await binding.run(call);
    const head = deps.trust.head();
    if (head !== null) void reply.header('sallyport-log-head', `${head.n}:${head.hash}`);
    void reply.header('sallyport-audit-head', await deps.audit.signedHead());
    return answer;
  }

  app.route({
    method: route.method,
    url: route.path,
    bodyLimit: route.bodyLimitBytes,
    onRequest,
    handler: async (request, reply) => reply.send(await run(request, reply)),
  });
}
