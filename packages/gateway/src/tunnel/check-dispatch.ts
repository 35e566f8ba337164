import {
  type GatewayUid,
  type LinkParams,
  PamError,
  type StreamOptions,
  streamOptionsPurpose,
  streamOptionsSchema,
} from '@sallyport/protocol';
import {
  type BoxKey,
  checkHead,
  openFromBox,
  requestToleranceSeconds,
  type SessionRequest,
  verifyRequest,
} from '@sallyport/seal';
import { type AddressPolicy, checkTarget, type WorkloadContext } from '../agent/index.ts';
import { decideTunnel, type TunnelTarget } from './decide-tunnel.ts';
import { type FactsMemory, openRequestFacts } from './open-facts.ts';
import type { ReplayMemory } from './replay-memory.ts';

export type Dispatch = LinkParams<'stream.dispatch'>;

export interface CheckDeps {
  readonly gateway: GatewayUid;
  readonly app: Parameters<typeof openRequestFacts>[2]['app'];
  readonly box: BoxKey;
  readonly replays: ReplayMemory;
  readonly facts: FactsMemory;
  readonly nowMs: () => number;
  /** The address policy of a target, with what this process knows of routers and listeners. */
  readonly policyOf: (target: TunnelTarget) => AddressPolicy;
}
export interface CheckedDispatch {
  readonly request: SessionRequest;
  readonly target: TunnelTarget;
}

/** How often the log is fetched for one dispatch: a second time when a fetch under way was asked for an older head. */
const fetchesAtMost = 2;

async function verifyAgainstLog(
  dispatch: Dispatch,
  deps: CheckDeps,
  context: WorkloadContext,
): Promise<SessionRequest> {
  for (let fetches = 0; ; fetches++) {
    const log = context.log();
    try {
      if (dispatch.head.n > log.head.n) checkHead(log, dispatch.head);
      const nowSeconds = Math.floor(deps.nowMs() / 1_000);
      return await verifyRequest(dispatch.request, { gateway: deps.gateway, log, nowSeconds });
    } catch (reason) {
      const isBehind = reason instanceof PamError && reason.code === 'PAM_TRUST_BEHIND';
      if (!isBehind || fetches >= fetchesAtMost) throw reason;
      await context.catchUp();
    }
  }
}

async function openOptions(request: SessionRequest, box: BoxKey): Promise<StreamOptions> {
  if (request.sealed === undefined) return {};
  const parsed = streamOptionsSchema.safeParse(await openFromBox(streamOptionsPurpose, request.sealed, box));
  if (parsed.success) return parsed.data;
  throw new PamError('PAM_REQUEST_INVALID', 'the sealed options of the request are malformed', {
    detail: { why: 'options' },
  });
}

/**
 * Everything that is checked before a dispatch is accepted, with no connection to anywhere but the router: signature,
 * time, gateway and log of the request, that it is used once, its sealed facts, links, switches, and the target's host
 * as far as it needs no name service.
 *
 * @throws PamError: the reason of the refusal.
 */
export async function checkDispatch(
  dispatch: Dispatch,
  deps: CheckDeps,
  context: WorkloadContext,
): Promise<CheckedDispatch> {
  const request = await verifyAgainstLog(dispatch, deps, context);
  const mismatch = (why: string): PamError =>
    new PamError('PAM_REQUEST_INVALID', `the dispatch names another ${why} than the signed request`, {
      detail: { why },
    });
  if (request.stream !== dispatch.stream) throw mismatch('stream');
  if (request.session !== dispatch.session) throw mismatch('session');
  const log = context.log();
  const opened = await openRequestFacts(request, dispatch.items, {
    app: deps.app,
    log,
    factsKey: (gen) => context.factsKey(gen),
    memory: deps.facts,
  });
  const options = await openOptions(request, deps.box);
  const target = decideTunnel({ ...opened, gateway: deps.gateway, options });
  checkTarget({ host: target.host, port: target.port, policy: deps.policyOf(target) });
  deps.replays.take(request.jti, request.exp + requestToleranceSeconds, Math.floor(deps.nowMs() / 1_000));
  return { request, target };
}
