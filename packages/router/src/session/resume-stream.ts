import {
  type DeviceId,
  type InstanceId,
  isErrorCode,
  type LinkResult,
  PamError,
  type PersonUid,
  type SessionId,
  type StreamId,
} from '@sallyport/protocol';
import { endError } from './end-error.ts';
import type { SessionDeps } from './session-service.ts';
import type { SessionRow } from './session-store.ts';

export interface ResumeOrder {
  readonly session: SessionId;
  readonly stream: StreamId;
  readonly person: PersonUid;
  readonly device: DeviceId;
  /** Where the client says that it has the stream open; absent: with an older client. */
  readonly instance?: InstanceId;
}

/** The pair of legs a client asked for; the ticket is the client's. */
export interface Resumed {
  readonly instance: InstanceId;
  readonly ticket: string;
  readonly match: string;
}

export interface ResumeDeps extends Pick<SessionDeps, 'sessions' | 'links' | 'legs' | 'newTicket'> {
  readonly own: (session: SessionId, person: PersonUid) => Promise<SessionRow>;
  /** Stores what was written behind: the stream may be a few ms old. */
  readonly flush: () => Promise<void>;
}

/**
 * Another pair of legs to the instance that holds a stream. The router only introduces the two: whether the client may
 * resume is for the instance to see, by the session key. Nothing here stands on memory of an earlier process.
 *
 * P1 only the device that started the session is introduced; to anybody else the stream does not exist.
 * P2 a pair that the instance did not accept is unknown to the relay again.
 * P3 the client is introduced where it says, if this stream was ever routed there: what an instance tells of a stream may be on its
 *    way for a while, and the client is the only one who knows which of two attempts it uses.
 *
 * @throws PAM_NOT_FOUND, PAM_SESSION_ENDED, PAM_STREAM_GONE, PAM_STREAM_NOT_HERE, PAM_RATE_LIMITED.
 */
export async function resumeStream(order: ResumeOrder, deps: ResumeDeps): Promise<Resumed> {
  const { session, stream } = order;
  const row = await deps.own(session, order.person);
  if (row.device !== order.device) throw unknown(stream);
  if (row.endedAtMs !== null) throw endError(row.reason, row.words);
  await deps.flush();
  const place = await deps.sessions.getStream({ stream });
  if (place === null || place.session !== session) throw unknown(stream);
  if (place.reason === 'killed') throw new PamError('PAM_SESSION_KILLED', `the stream was ended ${place.words}`);
  const instance = await whereOf(order, place.instance, deps);
  if (instance === null) throw new PamError('PAM_STREAM_GONE', 'no instance ever held this stream');
  const [ticket, instanceTicket] = [deps.newTicket(), deps.newTicket()];
  const match = `${stream}.resume.${deps.newTicket().slice(0, 8)}`;
  await deps.legs.expect(match, ticket, instanceTicket);
  try {
    const answer = await deps.links.resume(instance, { session, stream, ticket: instanceTicket });
    if (answer.kind === 'refused') throw refusalOf(answer);
    return { instance, ticket, match };
  } catch (reason) {
    deps.legs.forget(match);
    throw reason;
  }
}

async function whereOf(order: ResumeOrder, stored: InstanceId | null, deps: ResumeDeps): Promise<InstanceId | null> {
  const { instance, stream } = order;
  if (instance === undefined || instance === stored) return stored;
  const [explained] = await deps.sessions.explainStreams({ id: stream });
  const wasAsked = explained?.decisions.some(({ pick }) => pick === instance) === true;
  return wasAsked ? instance : stored;
}

function unknown(stream: StreamId): PamError {
  return new PamError('PAM_NOT_FOUND', `there is no stream ${stream} in this session`, { detail: { stream } });
}

function refusalOf({ error }: Extract<LinkResult<'stream.resume'>, { kind: 'refused' }>): PamError {
  const { code, message, remedy, detail } = error;
  return new PamError(isErrorCode(code) ? code : 'PAM_STREAM_GONE', message, { remedy, detail });
}
