import { Socket } from 'node:net';
import { readDescriptorLimit } from './descriptor-budget.ts';
import { ownUsage, type ProcessUsage } from './own-usage.ts';
import { relayClock } from './system-relay-clock.ts';
import { createWrappedLegs, type WrappedLegs, type WrappedLegsOptions } from './wrapped-legs.ts';

/**
 * Entry of the carrier process, forked by `startCarriers` when the first leg inside TLS comes. It does for such legs what
 * costs CPU (TLS, masks, messages), so that neither heartbeats nor plain legs wait for them. It ends with its parent.
 */
export type ToCarriers =
  | { readonly kind: 'start'; readonly options: Omit<WrappedLegsOptions, 'most'> }
  | { readonly kind: 'tls'; readonly early: Uint8Array }
  | { readonly kind: 'count'; readonly id: number };
export type FromCarriers =
  | { readonly kind: 'counted'; readonly id: number; readonly usage: ProcessUsage }
  /** A socket has arrived, or what was left of it. */
  | { readonly kind: 'taken' };

const checkParentMs = 250;
const spareDescriptors = 48;

process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit(0));
const parent = process.ppid;
relayClock.every(checkParentMs, () => {
  if (process.ppid !== parent) process.exit(0);
});

function tell(message: FromCarriers): void {
  if (process.connected) process.send?.(message);
}

let legs: WrappedLegs | null = null;
process.on('message', (message: ToCarriers, handle: unknown) => {
  if (message.kind === 'start') {
    // Two descriptors a leg: its own, and the one to the relay.
    const most = Math.max(8, Math.floor((readDescriptorLimit() - spareDescriptors) / 2));
    legs = createWrappedLegs({ ...message.options, most }, relayClock.after);
    return;
  }
  if (message.kind === 'count') {
    return tell({ kind: 'counted', id: message.id, usage: ownUsage() });
  }
  tell({ kind: 'taken' });
  // The peer may have gone while its socket was on the way.
  if (!(handle instanceof Socket)) return;
  handle.on('error', () => handle.destroy());
  handle.unshift(message.early);
  legs?.take(handle);
});
