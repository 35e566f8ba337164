import { type HostView, linkLimits, PamError, protocolRange, type StreamId } from '@sallyport/protocol';
import { type JoinConfig, signHello } from '@sallyport/seal';
import { decodeTicket, echoLeg, type LegCarrier } from '@sallyport/stream';
import type { IdentityKeeper } from './identity-keeper.ts';
import type { ControlLink } from './link/control-link.ts';
import type { Admission, Challenge } from './link/link-runner.ts';
import type { TrustMemory } from './trust/trust-memory.ts';

/** Requests are good for 60 s, so clocks further apart than this would refuse each other's. */
const clockToleranceMs = 60_000;

export interface HelloDeps {
  readonly config: JoinConfig;
  readonly identity: IdentityKeeper;
  readonly trust: TrustMemory;
  readonly host: HostView;
  readonly version: string;
  readonly carrier: LegCarrier;
  readonly noStandby: boolean;
  readonly running: () => readonly StreamId[];
  readonly maxStreams: number;
  readonly nowMs: () => number;
}

function checkVersions(challenge: Challenge, version: string): void {
  const { min, max } = challenge.protocol;
  if (min <= protocolRange.max && max >= protocolRange.min) return;
  throw new PamError(
    'PAM_VERSION_UNSUPPORTED',
    `the router (${challenge.version}) speaks protocol ${min} to ${max}, this instance (${version}) ${protocolRange.min} to ${protocolRange.max}`,
  );
}

function checkClock(routerMs: number, ownMs: number): void {
  const aheadMs = ownMs - routerMs;
  if (Math.abs(aheadMs) <= clockToleranceMs) return;
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  const word = aheadMs > 0 ? 'ahead of' : 'behind';
  throw new PamError('PAM_CLOCK_SKEW', `the clock of this machine is ${seconds} s ${word} the router's`, {
    detail: { aheadSeconds: Math.round(aheadMs / 1_000) },
  });
}

/**
 * Joins over an open link: versions and clocks compared, the data port proved by an echo leg, the challenge answered.
 *
 * @throws PAM_VERSION_UNSUPPORTED, PAM_CLOCK_SKEW, PAM_LEG_FAILED, or what the router answers to the hello.
 */
export async function sayHello(
  deps: HelloDeps,
  link: ControlLink,
  challenge: Challenge,
  held: { readonly seq: number; readonly epoch: number } | null,
  signal: AbortSignal,
): Promise<Admission> {
  const { config, identity } = deps;
  checkVersions(challenge, deps.version);
  checkClock(challenge.timeMs, deps.nowMs());
  await echoLeg({
    address: link.address,
    ticket: decodeTicket(challenge.echoTicket),
    carrier: deps.carrier,
    signal,
  });
  const { certificatePem } = await identity.current();
  const { gateway } = config;
  const claims = { nonce: challenge.nonce, gateway, instance: identity.id, routerPin: link.routerPin };
  return link.call(
    'link.hello',
    {
      gateway,
      instance: identity.id,
      certificate: certificatePem,
      proof: await signHello(claims, identity.key),
      timeMs: Math.round(deps.nowMs()),
      version: deps.version,
      host: deps.host,
      noStandby: deps.noStandby,
      head: deps.trust.knownHead(),
      held: held === null ? null : { seq: held.seq, epoch: held.epoch },
      streams: [...deps.running()],
      maxStreams: deps.maxStreams,
    },
    { timeoutMs: linkLimits.helloWithinMs, signal },
  );
}
