import type { MemberRow } from '../../src/pool/index.ts';
import type { PoolEffect, PoolEvent } from '../../src/pool/pool-state.ts';

export type Trace = (line: string) => void;

/** An event or effect on one line, members as instance:membership/seq/epoch. */
export function traceOf(of: PoolEvent | PoolEffect): string {
  const parts: string[] = [of.kind];
  if ('link' in of) parts.push(of.link);
  if ('hello' in of) parts.push(of.hello.link);
  if ('op' in of) parts.push(JSON.stringify(of.op));
  if ('snapshot' in of && of.snapshot !== null) {
    const { gateway, members } = of.snapshot;
    parts.push(`v${gateway.version} of ${gateway.maxInstances}:`);
    parts.push(...members.map(rowTrace));
  }
  if ('delta' in of && of.delta !== null) {
    parts.push(`v${of.delta.gateway.version} behind ${of.delta.follows}:`, ...of.delta.changed.map(rowTrace));
  }
  return parts.join(' ').replaceAll('_', '');
}

function rowTrace(row: MemberRow): string {
  return `${row.instance}:${row.membership}/${row.seq}/${row.epoch % 1_000}/${row.intent.kind}`;
}
