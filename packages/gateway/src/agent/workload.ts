import type { LinkParams, LinkResult, StreamId } from '@sallyport/protocol';
import type { HostPort, LogState } from '@sallyport/seal';

/** What a workload may use of the instance while it answers the router. */
export interface WorkloadContext {
  /** Slot of this instance; null as standby. */
  readonly held: { readonly seq: number; readonly epoch: number } | null;
  /** Where legs of this dispatch go: the router that asks. */
  readonly router: HostPort;
  log(): LogState;
  /** Fetches and verifies what the router's log has more. */
  catchUp(): Promise<LogState>;
  /** The application's facts key of a generation, checked against the log. */
  factsKey(gen: number): Promise<Uint8Array>;
  /** Its secrets key, likewise. */
  secretsKey(gen: number): Promise<Uint8Array>;
}

/** What runs on an instance at the router's word; tunnels are the first. */
export interface Workload {
  dispatch(
    params: LinkParams<'stream.dispatch'>,
    context: WorkloadContext,
    signal: AbortSignal,
  ): Promise<LinkResult<'stream.dispatch'>>;
  /** Another carrier for a stream that runs here, or an answer to who asks about one that did. */
  resume(params: LinkParams<'stream.resume'>, context: WorkloadContext): LinkResult<'stream.resume'>;
  forget(params: LinkParams<'stream.forget'>): void;
  end(params: LinkParams<'stream.end'>): void;
  park(params: LinkParams<'leg.park'>, context: WorkloadContext): void;
  /** The trust log was verified again: what runs for a device that may not connect any more ends, and what is past its time. */
  recheck(log: LogState): void;
  /** Streams that run now, for the hello after a loss of the link. */
  running(): readonly StreamId[];
}
