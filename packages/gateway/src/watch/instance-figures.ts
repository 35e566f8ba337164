import { createMetrics, type LinkResult, type RefusedClass } from '@sallyport/protocol';
import type { AgentStatus, StreamReporter, Workload } from '../agent/index.ts';
import { type NotReady, reasonCodes } from './readiness.ts';
import type { Usage } from './system-usage.ts';

interface FiguresNow {
  readonly status: AgentStatus;
  readonly streams: number;
  readonly maxStreams: number;
  readonly reasons: readonly NotReady[];
  readonly usage: Usage;
}

/** Every figure of one instance. Labels are words of closed lists: no record, target, address, person or UID. */
export interface InstanceFigures {
  dialled(outcome: 'connected' | RefusedClass): void;
  /** A step of a job was done. */
  jobStep(step: string, ms: number): void;
  refused(result: LinkResult<'stream.dispatch'>): void;
  event(event: Parameters<StreamReporter['add']>[0]): void;
  text(now: FiguresNow): string;
}

type Maker = ReturnType<typeof createMetrics>;
const memberships = ['slot', 'standby', 'none'] as const;

function stateFigures(metrics: Maker): (now: FiguresNow) => void {
  const ready = metrics.gauge('sallyport_instance_ready', 'Whether /readyz answers 200');
  const why = metrics.gauge('sallyport_instance_not_ready', 'Why it does not', ['reason']);
  const membership = metrics.gauge('sallyport_instance_membership', 'What it is in its pool', ['kind']);
  const link = metrics.gauge('sallyport_instance_link_up', 'The link to the router is up');
  const since = metrics.gauge('sallyport_instance_link_since_seconds', 'Since when it is up or away, Unix time');
  const losses = metrics.counter('sallyport_instance_link_losses_total', 'Links lost after they were ready');
  const rtt = metrics.gauge('sallyport_instance_beat_seconds', 'Round trip of the last beat');
  const head = metrics.gauge('sallyport_instance_trust_entry', 'Number of the newest verified entry of the trust log');
  const streams = metrics.gauge('sallyport_instance_streams', 'Streams that run');
  const most = metrics.gauge('sallyport_instance_streams_limit', 'Most streams at once');
  return ({ status, reasons, ...now }) => {
    ready.set(reasons.length === 0 ? 1 : 0);
    for (const code of reasonCodes) why.set(reasons.some((each) => each.code === code) ? 1 : 0, [code]);
    const kind = status.membership?.kind ?? 'none';
    for (const each of memberships) membership.set(each === kind ? 1 : 0, [each]);
    link.set(status.ready ? 1 : 0);
    since.set(Math.floor(status.sinceMs / 1_000));
    losses.total(status.losses);
    rtt.set(status.rttMs === null ? Number.NaN : status.rttMs / 1_000);
    head.set(status.headNumber);
    streams.set(now.streams);
    most.set(now.maxStreams);
  };
}

function processFigures(metrics: Maker): (usage: Usage) => void {
  const cpu = metrics.counter('process_cpu_seconds_total', 'Processor time, user and system');
  const memory = metrics.gauge('process_resident_memory_bytes', 'Resident memory');
  const delay = metrics.gauge('sallyport_event_loop_delay_seconds', 'Lateness of turns since the last scrape', [
    'quantile',
  ]);
  return (usage) => {
    cpu.total(usage.cpuSeconds());
    memory.set(usage.residentBytes());
    const { p50, p99, max } = usage.turnDelay();
    delay.set(p50, ['0.5']);
    delay.set(p99, ['0.99']);
    delay.set(max, ['1']);
  };
}

export function createInstanceFigures(version: string): InstanceFigures {
  const metrics = createMetrics();
  metrics.gauge('sallyport_build_info', 'What runs', ['version', 'node']).set(1, [version, process.version]);
  const [state, own] = [stateFigures(metrics), processFigures(metrics)];
  const dials = metrics.counter('sallyport_instance_dials_total', 'Dials of targets, by how they ended', ['outcome']);
  const jobSteps = metrics.counter('sallyport_instance_job_steps_total', 'Steps of jobs that were done', ['step']);
  const jobSeconds = metrics.counter('sallyport_instance_job_seconds_total', 'Time in steps of jobs', ['step']);
  const refusals = metrics.counter('sallyport_instance_refusals_total', 'Dispatches refused', ['class', 'code']);
  const opened = metrics.counter('sallyport_instance_streams_opened_total', 'Streams that reached their target');
  const ended = metrics.counter('sallyport_instance_streams_ended_total', 'Streams that ended, by why', ['reason']);
  const carriers = metrics.counter('sallyport_instance_carriers_total', 'Carriers of streams lost and replaced', [
    'event',
  ]);
  const bytes = metrics.counter('sallyport_instance_bytes_total', 'Bytes of streams that ended', ['direction']);
  return {
    dialled: (outcome) => dials.add([outcome]),
    jobStep: (step, ms) => {
      jobSteps.add([step]);
      jobSeconds.add([step], ms / 1_000);
    },
    refused: (result) => {
      if (result.kind === 'refused') refusals.add([result.class, result.error.code]);
    },
    event: (event) => {
      if (event.event === 'opened') return opened.add();
      if (event.event === 'detached' || event.event === 'resumed') return carriers.add([event.event]);
      ended.add([event.reason]);
      bytes.add(['up'], event.bytesUp);
      bytes.add(['down'], event.bytesDown);
    },
    text: (now) => {
      state(now);
      own(now.usage);
      return metrics.text();
    },
  };
}

/** The reporter, with what it is told counted. */
export function watchReporter(reporter: StreamReporter, figures: InstanceFigures): StreamReporter {
  return {
    ...reporter,
    add: (event) => {
      figures.event(event);
      reporter.add(event);
    },
  };
}

/** The workload, with its refusals counted. */
export function watchWorkload(workload: Workload, figures: InstanceFigures): Workload {
  return {
    ...workload,
    dispatch: async (params, context, signal) => {
      const result = await workload.dispatch(params, context, signal);
      figures.refused(result);
      return result;
    },
  };
}
