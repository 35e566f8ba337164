import type {
  Decision,
  DeviceId,
  EndReason,
  GatewayUid,
  InstanceId,
  ItemUid,
  PersonUid,
  SessionId,
  SessionView,
  StreamId,
  StreamView,
} from '@sallyport/protocol';

interface SessionStart {
  readonly session: SessionId;
  readonly person: PersonUid;
  readonly device: DeviceId;
  readonly gateway: GatewayUid;
  readonly resource: ItemUid;
  readonly workload: 'tunnel';
  readonly startedAtMs: number;
}

/** A change of a stream; written behind, in batches, in order. Unknown streams are ignored. */
export type StreamChange =
  | {
      /** First pick, or another: creates the stream when it is new, appends `decision`, sets the instance. */
      readonly kind: 'routed';
      readonly stream: StreamId;
      readonly session: SessionId;
      readonly instance: InstanceId | null;
      readonly decision: Decision;
      readonly atMs: number;
    }
  | {
      /** One that was given up before it had opened anywhere runs again, unless it was killed or its session has ended. */
      readonly kind: 'opened';
      readonly stream: StreamId;
      readonly instance: InstanceId;
      readonly atMs: number;
    }
  | {
      /** An attempt ended and this one lives. */
      readonly kind: 'held';
      readonly stream: StreamId;
      readonly instance: InstanceId;
    }
  | { readonly kind: 'detached'; readonly stream: StreamId; readonly atMs: number; readonly untilMs: number }
  | { readonly kind: 'resumed'; readonly stream: StreamId; readonly atMs: number }
  | {
      /** Idempotent: the first end counts. */
      readonly kind: 'ended';
      readonly stream: StreamId;
      readonly reason: EndReason;
      readonly bytesUp: number;
      readonly bytesDown: number;
      readonly atMs: number;
    };

/** A session with the columns that checks need. */
export interface SessionRow extends SessionStart {
  readonly touchedAtMs: number;
  readonly endedAtMs: number | null;
  readonly reason: EndReason | null;
  /** Who killed it and why; '' otherwise. */
  readonly words: string;
}

/** Where a stream is, for its resuming. */
interface StreamPlace {
  readonly session: SessionId;
  readonly instance: InstanceId | null;
  readonly reason: EndReason | null;
  /** Of a kill. */
  readonly words: string;
}

export interface ExplainedStream {
  readonly stream: StreamView;
  readonly decisions: readonly Decision[];
}

/** What an instance runs and should not. `words`: it was killed meanwhile, by whom and why; null: ended otherwise, or unknown. */
export interface Unwanted {
  readonly stream: StreamId;
  readonly words: string | null;
}

/** A session, or one stream of it, as it was ended by somebody. */
export interface Killed {
  readonly killed: 'session' | 'stream';
  readonly session: SessionId;
  readonly person: PersonUid;
  /** Streams that ran. */
  readonly streams: readonly { readonly stream: StreamId; readonly instance: InstanceId | null }[];
}

/** Sessions before the effect, streams written behind. */
export interface SessionStore {
  /** PAM_CONFLICT when the id is taken. */
  startSession(input: SessionStart): Promise<void>;
  getSession(input: { readonly session: SessionId }): Promise<SessionRow | null>;
  /** Also of an ended stream: its instance may still have the last word of it. */
  getStream(input: { readonly stream: StreamId }): Promise<StreamPlace | null>;
  /** Keeps it alive; answers why it ended, PAM_NOT_FOUND when unknown. */
  touchSession(input: {
    readonly session: SessionId;
    readonly nowMs: number;
  }): Promise<{ readonly ended: EndReason | null; readonly words: string }>;
  /**
   * Ends the session or stream of this id as `killed`. `by`: whose it must be, null = anybody's. PAM_NOT_FOUND when it
   * is unknown or another's; PAM_SESSION_ENDED when it has ended.
   */
  killSession(input: {
    readonly id: string;
    readonly by: PersonUid | null;
    readonly words: string;
    readonly nowMs: number;
  }): Promise<Killed>;
  /** Ends it and its running streams with `reason`; idempotent, the first reason stays. Answers the streams ended. */
  endSession(input: {
    readonly session: SessionId;
    readonly reason: EndReason;
    readonly nowMs: number;
  }): Promise<readonly { readonly stream: StreamId; readonly instance: InstanceId | null }[]>;
  /** Ends sessions untouched since `touchedBeforeMs` as client-lost, with their streams; answers them. */
  sweepSessions(input: {
    readonly touchedBeforeMs: number;
    readonly nowMs: number;
  }): Promise<
    readonly { readonly session: SessionId; readonly stream: StreamId | null; readonly instance: InstanceId | null }[]
  >;
  /** At most 1,000 changes, one transaction. */
  writeStreams(input: { readonly changes: readonly StreamChange[] }): Promise<void>;
  /** Running streams of an instance end as `instance-lost`; answers how many. */
  loseInstance(input: { readonly instance: InstanceId; readonly nowMs: number }): Promise<number>;
  /**
   * After a rejoin: streams of ours on this instance that it does not list end as instance-lost (except those routed
   * after `routedBeforeMs`); answers those it lists that we hold as ended or do not know. One that is open elsewhere is
   * left alone: which of the two its client uses is not known here, and the other ends of itself.
   */
  reconcileStreams(input: {
    readonly instance: InstanceId;
    readonly running: readonly StreamId[];
    readonly routedBeforeMs: number;
    readonly nowMs: number;
  }): Promise<readonly Unwanted[]>;
  /** Newest first. `person` absent = everybody's. `streams`: with at most 1,000 streams each. */
  listSessions(input: {
    readonly person?: PersonUid;
    readonly ended: boolean;
    readonly streams: boolean;
    readonly limit: number;
  }): Promise<readonly SessionView[]>;
  /** By stream id, session id (its latest 50 streams) or the latest stream of `lastOf`. Empty when unknown. */
  explainStreams(input: { readonly id?: string; readonly lastOf?: PersonUid }): Promise<readonly ExplainedStream[]>;
}
