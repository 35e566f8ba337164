import { fileURLToPath } from 'node:url';
import { type Child, type LabHost, type Later, startChild } from '@sallyport/testkit';
import type { StreamEnd, StreamOrder, StreamSight } from '../traffic/pattern.ts';
import type { UserOrder } from '../traffic/user.ts';
import { cleanEnvironment } from './programs.ts';
import { longMs, until } from './until.ts';

/** A stream as its target saw it end. */
interface TargetEnd extends StreamSight {
  readonly how: StreamEnd;
  /** Address of the peer: the instance that carried it. */
  readonly from: string;
}

/** A stream as its user saw it end. */
export interface UserEnd extends StreamSight {
  readonly how: StreamEnd;
  readonly ms: number;
  /** Longest time without a byte, ms, since the last mark. */
  readonly gapMs: number;
}

/** A server that checks every byte, on a machine of its own when it has one. */
export interface TrafficTarget {
  readonly host: string;
  readonly port: number;
  readonly child: Child;
  /** Peer address of every connection ever accepted, oldest first. */
  accepted(): readonly string[];
  ended(): readonly TargetEnd[];
}

/** Opens streams to a local port and checks every byte. */
export interface TrafficUser {
  readonly child: Child;
  open(order: StreamOrder, port: number): UserStream;
  /** From here on gaps are counted anew. */
  mark(): void;
  /** How the open streams stand. */
  report(): Promise<readonly (StreamSight & { readonly gapMs: number })[]>;
}

export interface UserStream {
  readonly order: StreamOrder;
  /** Milliseconds to its first byte; rejects when it ends before, or after 120 s. */
  first(): Promise<number>;
  ended(): Promise<UserEnd>;
  /** What is known of its end by now. */
  end(): UserEnd | undefined;
  giveUp(): void;
}

const script = (name: string): string => fileURLToPath(new URL(`../traffic/${name}.ts`, import.meta.url));

/** The lines a traffic process has printed, each read once. */
function readLines(child: Child): () => readonly Readonly<Record<string, unknown>>[] {
  const seen: Readonly<Record<string, unknown>>[] = [];
  let taken = 0;
  return () => {
    const text = child.stdout();
    const end = text.lastIndexOf('\n') + 1;
    for (const line of text.slice(taken, end).split('\n')) {
      if (line !== '') seen.push(JSON.parse(line) as Readonly<Record<string, unknown>>);
    }
    taken = end;
    return seen;
  };
}

export async function startTrafficTarget(later: Later, on?: LabHost): Promise<TrafficTarget> {
  const host = on?.address ?? '127.0.0.1';
  const child = startChild(later, process.execPath, [script('target'), host], {
    env: cleanEnvironment,
    within: on?.within,
  });
  const [, port = ''] = await child.waitForLine(/"listening":(\d+)/, { withinMs: longMs });
  const lines = readLines(child);
  return {
    host,
    port: Number(port),
    child,
    accepted: () => lines().flatMap((line) => ('accepted' in line ? [String(line['accepted'])] : [])),
    ended: () => lines().flatMap((line) => ('ended' in line ? [line['ended'] as TargetEnd] : [])),
  };
}

export async function startTrafficUser(later: Later, on?: LabHost): Promise<TrafficUser> {
  const child = startChild(later, process.execPath, [script('user')], { env: cleanEnvironment, within: on?.within });
  await child.waitForLine(/"ready":true/, { withinMs: longMs });
  const lines = readLines(child);
  const tell = (order: UserOrder): void => child.write(`${JSON.stringify(order)}\n`);
  let reports = 0;
  const about = <T extends { readonly id: string }>(kind: 'first' | 'ended', id: string): T | undefined =>
    lines()
      .map((line) => line[kind] as T | undefined)
      .find((one) => one?.id === id);
  return {
    child,
    open: (order, port) => {
      tell({ open: order, port });
      const end = (): UserEnd | undefined => about<UserEnd>('ended', order.id);
      return {
        order,
        first: async () => {
          const found = await until(`a first byte of ${order.id}`, () => {
            const first = about<{ id: string; afterMs: number }>('first', order.id);
            const ended = end();
            if (first === undefined && ended !== undefined) throw new Error(`${order.id} ended: ${ended.how}`);
            return first;
          });
          return found.afterMs;
        },
        ended: () => until(`the end of ${order.id}`, end),
        end,
        giveUp: () => tell({ giveUp: order.id }),
      };
    },
    mark: () => tell({ mark: true }),
    report: async () => {
      reports += 1;
      const number = reports;
      tell({ report: number });
      const line = await until('a report', () => lines().find((one) => one['report'] === number));
      return line['streams'] as readonly (StreamSight & { readonly gapMs: number })[];
    },
  };
}
