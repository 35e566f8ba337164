import { randomBytes, randomInt } from 'node:crypto';
import { productVersion } from '@sallyport/protocol';
import { createAcceptEvents, createEchoDesk, createLinkServer } from '../link/index.ts';
import { createUnderWay, type UnderWay } from '../http/under-way.ts';
import { createPoolService, type PoolService } from '../pool/index.ts';
import { createClientAddresses, createRunningMatches, type Relay } from '../relay/index.ts';
import type { RouterSettings } from '../router-settings.ts';
import { createSessionService, type SessionService } from '../session/index.ts';
import { watchPool, watchSessions } from '../watch/index.ts';
import type { Closing } from './closing.ts';
import type { Ground } from './open-ground.ts';

/** What answers instances and people, before anybody can reach it. */
export interface Services {
  readonly echo: ReturnType<typeof createEchoDesk>;
  readonly addresses: ReturnType<typeof createClientAddresses>;
  readonly underWay: UnderWay;
  readonly links: ReturnType<typeof createLinkServer>;
  readonly pool: PoolService;
  readonly matches: ReturnType<typeof createRunningMatches>;
  readonly sessions: SessionService;
  readonly acceptEvents: ReturnType<typeof createAcceptEvents>;
}

const echoWaitMs = 2_000;

function newTicket(): string {
  return randomBytes(32).toString('base64url');
}

/** @param relay - the relay, which is started after them. */
export function wireServices(
  { log }: Pick<RouterSettings, 'log'>,
  ground: Ground,
  relay: () => Relay,
  closing: Closing,
): Services {
  const { clock, timing, watch, store, identity, trust, audit, failed } = ground;
  const echo = createEchoDesk(echoWaitMs, clock.after);
  const acceptEvents = createAcceptEvents({
    audit,
    auditStore: store.audit,
    nowMs: clock.nowMs,
    commit: async (changes, event) => {
      const [, head] = await store.together(
        (t) => [t.session.writeStreams({ changes }), t.audit.appendEvents(audit.note(event))] as const,
      );
      return head;
    },
  });
  const addresses = createClientAddresses();
  const underWay = createUnderWay();
  const links = createLinkServer({
    addressOf: addresses.of,
    decided: underWay.done,
    clock,
    trust,
    vault: store.vault,
    audit,
    echo,
    expectEcho: (ticket) => relay().expect([{ ticket, role: 'echo', match: 'echo', lifeMs: 10_000 }]),
    routerPin: identity.pin,
    version: productVersion,
    promoteMs: timing.promoteMs,
    beatMs: timing.beatMs,
    reserveMs: timing.reserveMs,
    graceMs: timing.graceMs,
    acceptEvents,
    log: (level, message, fields) => log[level](message, fields),
  });
  const pool = createPoolService({
    store: store.pool,
    clock,
    timing,
    effects: links.forPool,
    random: () => randomInt(2 ** 32) / 2 ** 32,
  });
  const matches = createRunningMatches();
  const plainSessions = createSessionService({
    sessions: store.session,
    vault: store.vault,
    trust,
    pool: watchPool(pool, watch.figures),
    links: links.forSessions,
    legs: {
      expect: (match, client, instance) => {
        matches.placed(clock.monotonicMs());
        return relay().expect([
          { ticket: client, role: 'client', match },
          { ticket: instance, role: 'instance', match },
        ]);
      },
      forget: (match) => relay().forget(match),
      cut: (match) => relay().cut(match),
      expectPark: (tickets) =>
        relay().expect(tickets.map((ticket) => ({ ticket, role: 'park' as const, match: 'park' }))),
      bind: (leg, ticket) => relay().bind({ leg, ticket }),
    },
    clock,
    hedgeMs: timing.hedgeMs,
    newTicket,
    ended: (session, reason) => audit.later('session.ended', { session, reason }),
    failed: failed('streams cannot be recorded'),
  });
  const sessions = watchSessions(plainSessions, watch.figures, clock);
  closing.add(() => sessions.flush());
  return { echo, addresses, underWay, links, pool, matches, sessions, acceptEvents };
}
