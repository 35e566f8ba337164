import {
  type DeviceId,
  type EndReason,
  errorCatalog,
  type GatewayUid,
  type Head,
  type InstanceId,
  type Item,
  type ItemUid,
  type LinkParams,
  type LinkResult,
  PamError,
  type PersonUid,
  type SessionId,
  type StreamId,
} from '@sallyport/protocol';
import { verifyRequest } from '@sallyport/seal';
import type { Clock } from '../clock.ts';
import type { PoolService } from '../pool/index.ts';
import type { TrustLog } from '../trust/index.ts';
import type { VaultStore } from '../vault/index.ts';
import { checkPermission } from './check-permission.ts';
import { type DispatchDeps, dispatchStream, type Placed } from './dispatch-stream.ts';
import type { Killed, SessionRow, SessionStore, StreamChange, Unwanted } from './session-store.ts';
import { endError } from './end-error.ts';
import { createParkDesk, type ParkDesk } from './park-desk.ts';
import { type Resumed, type ResumeOrder, resumeStream } from './resume-stream.ts';
import { createStreamBook, type MovedStream } from './stream-book.ts';
import { createStreamJournal } from './stream-journal.ts';
import { type Moment, newSweepWatch, stepSweepWatch } from './sweep-watch.ts';

/** The control links, as sessions need them. */
export interface SessionLinks {
  dispatch(link: string, params: LinkParams<'stream.dispatch'>): Promise<LinkResult<'stream.dispatch'>>;
  /** @throws PAM_STREAM_NOT_HERE (it may come back), PAM_STREAM_GONE (it is lost). */
  resume(instance: InstanceId, params: LinkParams<'stream.resume'>): Promise<LinkResult<'stream.resume'>>;
  forget(link: string, stream: StreamId, ticket: string): void;
  /** @returns false when the instance has no link now; `words` are for the user. */
  end(instance: InstanceId, streams: readonly StreamId[], reason: EndReason, words?: string): boolean;
  park(link: string, tickets: readonly string[]): void;
}
/** The relay's legs, as sessions need them. */
interface SessionLegs {
  expect(match: string, clientTicket: string, instanceTicket: string): Promise<void>;
  forget(match: string): void;
  cut(match: string): void;
  /** Makes tickets of role park known. */
  expectPark(tickets: readonly string[]): Promise<void>;
  /** Writes BIND into a parked leg. */
  bind(leg: number, instanceTicket: string): void;
}

export interface SessionDeps {
  readonly sessions: SessionStore;
  readonly vault: VaultStore;
  readonly trust: TrustLog;
  readonly pool: PoolService;
  readonly links: SessionLinks;
  readonly legs: SessionLegs;
  readonly clock: Clock;
  readonly hedgeMs: number;
  readonly newTicket: () => string;
  readonly ended: (session: SessionId, reason: EndReason) => void;
  readonly failed: (error: unknown) => void;
}

interface RouteOrder {
  readonly session: SessionId;
  readonly stream: StreamId;
  /** Signed request, typ sallyport-request+jwt. */
  readonly request: string;
  readonly not: readonly InstanceId[];
  readonly person: PersonUid;
  readonly device: DeviceId;
}

/**
 * Sessions and their streams: what the API and the links ask of them, over one book, so it is one file.
 *
 * S1 a session is stored before it is acknowledged; a stream's decisions are written behind within a few ms.
 * S2 a session that nobody touched for 90 s ends as client-lost; only time in which this router ran, and its clock did
 *    not jump, counts.
 * S3 the router's checks of request and permission are for the message: the instance decides.
 */
export interface SessionService {
  start(): void;
  stop(): void;
  /** Begins and places nothing from here on: the router is about to stop. */
  stopTaking(): void;
  /** @throws PAM_ROUTER_STOPPING (detail.retryAfterMs) after `stopTaking`. */
  mayBegin(): void;
  route(order: RouteOrder): Promise<Placed>;
  /** Another pair of legs to the instance that holds a stream. */
  resume(order: ResumeOrder): Promise<Resumed>;
  /** The caller's session. PAM_NOT_FOUND for unknown and foreign ones. */
  own(session: SessionId, person: PersonUid): Promise<SessionRow>;
  end(session: SessionId, reason: EndReason): Promise<void>;
  /** Changes that an instance's events make; those that do not count are left out. Earlier ones are stored first. */
  accept(instance: InstanceId, events: LinkParams<'stream.events'>['events']): Promise<readonly StreamChange[]>;
  /** An instance is back and says what runs on it; answers what it has to end. */
  rejoin(of: {
    readonly gateway: GatewayUid;
    readonly instance: InstanceId;
    readonly running: readonly StreamId[];
    readonly routedBeforeMs: number;
  }): Promise<readonly Unwanted[]>;
  /**
   * What somebody killed in the store ends where it runs, and its legs are cut: S4 after the instance had time to say
   * why, or at once when it cannot be told. @returns how many streams run on instances that cannot be told now.
   */
  carryOut(killed: Killed, words: string): number;
  /** An instance is lost for good. */
  lose(instance: InstanceId): Promise<void>;
  /** Ends both legs of everything on this instance. */
  cutLegs(instance: InstanceId): void;
  /** What the relay says of parked legs, and the links of those who parked them. */
  readonly parks: Pick<ParkDesk, 'parked' | 'lost' | 'forget'>;
  /** Changes of streams that are not stored yet. */
  waiting(): number;
  flush(): Promise<void>;
}

const touchWithinMs = 90_000;
const sweepMs = 10_000;
const sweepTimes = { pauseMs: 2 * sweepMs, touchWithinMs } as const;
const parkTickMs = 1_000;
/** A stream accepted by an instance whose legs never came to OPENED. */
const openWithinMs = 30_000;
const dispatchDeadlineMs = 8_000;
/** When whoever is refused by a router that stops may ask again. */
const comeBackMs = 1_000;
/** Between the word to the instance and the end of the legs. */
const lastWordsMs = 1_000;

export function createSessionService(deps: SessionDeps): SessionService {
  const { clock, sessions, trust } = deps;
  const journal = createStreamJournal({ store: sessions, after: clock.after, failed: deps.failed });
  const gatewayOf = new Map<InstanceId, GatewayUid>();
  const book = createStreamBook((instance, streams) => {
    const gateway = gatewayOf.get(instance);
    if (gateway !== undefined) deps.pool.streams(gateway, instance, streams);
  });
  const parks = createParkDesk({
    monotonicMs: clock.monotonicMs,
    newTicket: deps.newTicket,
    ask: (link, tickets) => {
      deps.legs.expectPark(tickets).then(() => deps.links.park(link, tickets), deps.failed);
    },
  });
  /** Sessions that ended lately, and streams that were killed, so that a dispatch under way does not outlive them. */
  const over = new Map<SessionId | StreamId, PamError>();
  let isTaking = true;
  let stopTimer = (): void => undefined;
  const moment = (): Moment => ({ monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() });
  let watch = newSweepWatch(moment(), sweepTimes);

  function mayBegin(): void {
    if (isTaking) return;
    const detail = { retryAfterMs: comeBackMs };
    throw new PamError('PAM_ROUTER_STOPPING', 'the router is being stopped and takes nothing new', { detail });
  }

  async function own(session: SessionId, person: PersonUid): Promise<SessionRow> {
    const row = await sessions.getSession({ session });
    if (row === null || row.person !== person) {
      throw new PamError('PAM_NOT_FOUND', `there is no session ${session}`, { detail: { session } });
    }
    return row;
  }

  function remember(id: SessionId | StreamId, error: PamError): void {
    over.set(id, error);
    clock.after(2 * dispatchDeadlineMs, () => over.delete(id));
  }

  /** @returns the streams whose instance could not be told. */
  function endStreams(
    streams: readonly { readonly stream: StreamId | null; readonly instance: InstanceId | null }[],
    reason: EndReason,
    words = '',
  ): readonly StreamId[] {
    const untold: StreamId[] = [];
    const byInstance = new Map<InstanceId, StreamId[]>();
    for (const { stream, instance } of streams) {
      if (instance === null || stream === null) continue;
      byInstance.set(instance, [...(byInstance.get(instance) ?? []), stream]);
    }
    for (const [instance, list] of byInstance) {
      if (!deps.links.end(instance, list, reason, words)) untold.push(...list);
    }
    return untold;
  }

  function moved(streams: readonly MovedStream[]): void {
    for (const each of streams) journal.write({ kind: 'held', ...each });
  }

  /** Everybody who may run a stream, whoever the store names. */
  function attemptsOf({ stream, instance }: Killed['streams'][number]): Killed['streams'] {
    const known = book.attempts(stream);
    return known.length === 0 ? [{ stream, instance }] : known.map((each) => ({ stream, instance: each }));
  }

  function cutStreams(streams: readonly StreamId[]): void {
    for (const stream of streams) for (const match of book.matchesOfStream(stream)) deps.legs.cut(match);
  }

  async function sweep(): Promise<void> {
    const now = moment();
    const { wallMs: nowMs } = now;
    const looked = stepSweepWatch(watch, now, sweepTimes);
    watch = looked.watch;
    for (const stream of book.takeUnopened(now.monotonicMs - openWithinMs)) {
      journal.write({ kind: 'ended', stream, reason: 'carrier-lost', bytesUp: 0, bytesDown: 0, atMs: nowMs });
    }
    if (!looked.mayEnd) return;
    const swept = await sessions.sweepSessions({ touchedBeforeMs: nowMs - touchWithinMs, nowMs });
    endStreams(swept, 'client-lost');
    for (const session of new Set(swept.map((each) => each.session))) deps.ended(session, 'client-lost');
  }

  async function factsOf(resource: ItemUid, gateway: GatewayUid): Promise<Item[]> {
    const [record] = await deps.vault.getItems({ uids: [resource] });
    const configurationUid = record?.mirror.configuration;
    const more = configurationUid ? await deps.vault.getItems({ uids: [configurationUid] }) : [];
    const known = checkPermission({ resource, gateway, permission: 'tunneling' }, record ? [record, ...more] : []);
    return [known.resource, known.configuration].map((item) => ({
      ...item,
      parts: item.parts.facts === undefined ? {} : { facts: item.parts.facts },
    }));
  }

  function dispatchDeps(order: RouteOrder): DispatchDeps {
    return {
      pool: deps.pool,
      expect: deps.legs.expect,
      forgetLegs: deps.legs.forget,
      bindParked: (instance, link, ticket) => {
        const leg = parks.take(instance);
        if (leg !== null) deps.legs.bind(leg, ticket);
        parks.dispatched(instance, link);
        return leg !== null;
      },
      newTicket: deps.newTicket,
      after: clock.after,
      hedgeMs: deps.hedgeMs,
      deadlineMs: dispatchDeadlineMs,
      decided: (decision) =>
        journal.write({
          kind: 'routed',
          stream: order.stream,
          session: order.session,
          instance: decision.pick,
          decision,
          atMs: clock.nowMs(),
        }),
    };
  }

  async function route(order: RouteOrder): Promise<Placed> {
    mayBegin();
    const row = await own(order.session, order.person);
    if (row.endedAtMs !== null) throw endError(row.reason, row.words);
    const log = trust.state();
    const nowSeconds = Math.floor(clock.nowMs() / 1_000);
    const claims = await verifyRequest(order.request, { gateway: row.gateway, log, nowSeconds });
    const fits =
      claims.iss === order.device &&
      claims.session === order.session &&
      claims.stream === order.stream &&
      claims.resource === row.resource;
    if (!fits)
      throw new PamError('PAM_REQUEST_INVALID', 'the signed request is for another session, stream, record or device');
    const known = book.sessionOf(order.stream);
    if (known !== null && known !== order.session) throw new PamError('PAM_CONFLICT', 'this stream id is taken');
    const items = await factsOf(row.resource, row.gateway);
    const head: Head = log.head;
    try {
      const placed = await dispatchStream(
        {
          gateway: row.gateway,
          session: order.session,
          stream: order.stream,
          resource: row.resource,
          not: order.not,
          send: ({ link, epoch, ticket, parked }) =>
            deps.links.dispatch(link, {
              session: order.session,
              stream: order.stream,
              request: order.request,
              ticket,
              epoch,
              parked,
              items,
              head,
            }),
          forget: ({ link, ticket }) => deps.links.forget(link, order.stream, ticket),
        },
        dispatchDeps(order),
      );
      const ended = over.get(order.session) ?? over.get(order.stream);
      if (ended !== undefined) {
        deps.links.end(placed.instance, [order.stream], 'stopped');
        throw ended;
      }
      gatewayOf.set(placed.instance, row.gateway);
      book.routed(order.stream, order.session, placed.instance, placed.match, clock.monotonicMs());
      return placed;
    } catch (reason) {
      const denied = reason instanceof PamError && errorCatalog[reason.code].http === 403;
      // A stream that runs elsewhere is not ended by a failed attempt to route it once more.
      if (book.sessionOf(order.stream) === null) {
        journal.write({
          kind: 'ended',
          stream: order.stream,
          reason: denied ? 'not-allowed' : 'failed',
          bytesUp: 0,
          bytesDown: 0,
          atMs: clock.nowMs(),
        });
      }
      throw reason;
    }
  }

  return {
    parks,
    start: () => {
      const stopSweep = clock.every(sweepMs, () => void sweep().catch(deps.failed));
      const stopParks = clock.every(parkTickMs, parks.tick);
      stopTimer = () => {
        stopSweep();
        stopParks();
      };
    },
    stop: () => stopTimer(),
    stopTaking: () => {
      isTaking = false;
    },
    mayBegin,
    route,
    resume: async (order) => {
      const resumed = await resumeStream(order, { ...deps, own, flush: journal.flush });
      book.resumed(order.stream, resumed.match);
      return resumed;
    },
    own,
    end: async (session, reason) => {
      await journal.flush();
      const streams = await sessions.endSession({ session, reason, nowMs: clock.nowMs() });
      remember(session, endError(reason, ''));
      endStreams(streams, reason);
    },
    carryOut: (killed, words) => {
      // A stream may be on its way: its instance knows it only once the dispatch was checked, and would not end it.
      for (const { stream } of killed.streams) remember(stream, endError('killed', words));
      if (killed.killed === 'session') remember(killed.session, endError('killed', words));
      const untold = endStreams(killed.streams.flatMap(attemptsOf), 'killed', words);
      cutStreams(untold);
      const told = killed.streams.map((each) => each.stream).filter((stream) => !untold.includes(stream));
      clock.after(lastWordsMs, () => cutStreams(told));
      return untold.length;
    },
    accept: async (instance, events) => {
      await journal.flush();
      const changes: StreamChange[] = [];
      const gateway = gatewayOf.get(instance);
      for (const event of events) {
        const word = event.event === 'ended' && event.unreached !== undefined ? 'unreached' : event.event;
        if (gateway !== undefined && word !== 'detached' && word !== 'resumed')
          deps.pool.heard(word, { gateway, instance, stream: event.stream });
        if (event.event === 'opened') {
          const { stream, atMs } = event;
          // Opened while it was being ended elsewhere: nobody else would tell this instance.
          if (over.has(stream) || over.has(book.sessionOf(stream) ?? stream))
            deps.links.end(instance, [stream], 'stopped');
          if (book.opened(stream, instance, clock.monotonicMs()) === instance)
            changes.push({ kind: 'opened', stream, instance, atMs });
        } else if (event.event === 'detached') {
          const { stream, atMs, untilMs } = event;
          if (book.holder(stream) === instance) changes.push({ kind: 'detached', stream, atMs, untilMs });
        } else if (event.event === 'resumed') {
          const { stream, atMs } = event;
          if (book.holder(stream) === instance) changes.push({ kind: 'resumed', stream, atMs });
        } else {
          const { stream, reason, bytesUp, bytesDown, atMs } = event;
          const end = book.ended(stream, instance, reason);
          if (end.kind === 'over') changes.push({ kind: 'ended', stream, reason, bytesUp, bytesDown, atMs });
          else if (end.kind === 'held') changes.push({ kind: 'held', stream, instance: end.by });
        }
      }
      return changes;
    },
    rejoin: async ({ gateway, instance, running, routedBeforeMs }) => {
      gatewayOf.set(instance, gateway);
      const nowMs = clock.nowMs();
      moved(book.rejoined(instance, running, clock.monotonicMs()));
      await journal.flush();
      return sessions.reconcileStreams({ instance, running: [...running], routedBeforeMs, nowMs });
    },
    lose: async (instance) => {
      moved(book.lost(instance));
      await journal.flush();
      gatewayOf.delete(instance);
      await sessions.loseInstance({ instance, nowMs: clock.nowMs() });
    },
    cutLegs: (instance) => {
      for (const match of book.matchesOf(instance)) deps.legs.cut(match);
    },
    waiting: () => journal.waiting(),
    flush: () => journal.flush(),
  };
}
