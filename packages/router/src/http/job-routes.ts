import {
  cancelJob,
  gatewayUidSchema,
  getJob,
  type GatewayUid,
  type Item,
  type ItemUid,
  itemUidSchema,
  jobIdSchema,
  listJobs,
  listKinds,
  PamError,
  readRotation,
  resolveRotation,
  startJobs,
  type WireError,
  type wireErrorSchema,
} from '@sallyport/protocol';
import { verifyOrder } from '@sallyport/seal';
import type { z } from 'zod';
import { type NewJob, viewJob } from '../rotation/index.ts';
import { checkItem } from '../vault/index.ts';
import { type Binding, bindCaller, type Caller } from './call.ts';
import type { LinkNews, RouterParts } from './router-parts.ts';

const pageJobs = 200;

async function recordOf(parts: RouterParts, uid: ItemUid): Promise<Item> {
  return checkRecord(parts, uid, await parts.store.vault.getItem({ uid }));
}

/** A record that can be rotated: a live pamUser of an application that the log knows. */
function checkRecord(parts: RouterParts, uid: ItemUid, item: Item | null): Item {
  const app = item === null ? undefined : parts.trust.state().apps.get(item.app);
  if (item === null || app === undefined || app.removed) {
    throw new PamError('PAM_NOT_FOUND', `there is no record ${uid}`, { detail: { uid } });
  }
  if (item.type !== 'pamUser') throw new PamError('PAM_BAD_REQUEST', `a ${item.type} has nothing to rotate`);
  return item;
}

/** The gateway is the application's, and not removed. */
function checkGateway(parts: RouterParts, gateway: GatewayUid, app: string): void {
  const known = parts.trust.state().gateways.get(gateway);
  if (known === undefined || known.removed || known.app !== app || parts.pool.view(gateway) === null) {
    throw new PamError('PAM_NOT_FOUND', `there is no gateway ${gateway} in the record's application`, {
      detail: { uid: gateway },
    });
  }
}

type Order = z.output<typeof startJobs.body>['orders'][number];

/** An order as it may be stored, or why not. For the message: the instance checks it again, and decides. */
async function checkOrder(
  parts: RouterParts,
  items: readonly Item[],
  { job, kind, gateway, record, order }: Order,
  caller: Caller,
): Promise<NewJob | { readonly error: PamError }> {
  try {
    const { app } = checkRecord(parts, record, items.find(({ uid }) => uid === record) ?? null);
    checkGateway(parts, gateway, app);
    const nowMs = parts.clock.nowMs();
    const log = parts.trust.state();
    const signed = await verifyOrder(order, { gateway, log, nowSeconds: Math.floor(nowMs / 1_000) });
    const fits = signed.job === job && signed.record === record && signed.act === kind;
    if (!fits || signed.iss !== caller.device) {
      throw new PamError('PAM_ORDER_INVALID', 'the order is for another job, record or kind, or of another device');
    }
    const carryFrom = kind === 'after' && signed.again !== 'all' ? signed.base : null;
    return { job, kind, record, app, gateway, order, person: caller.person, carryFrom, nowMs };
  } catch (reason) {
    if (reason instanceof PamError && reason.code !== 'PAM_INTERNAL') return { error: reason };
    throw reason;
  }
}

const wireError = (error: PamError | WireError): z.input<typeof wireErrorSchema> => {
  const { code, message, remedy, detail } = error;
  return { code, message, remedy, detail: { ...detail } };
};

function orderRoutes(parts: RouterParts): Binding[] {
  const { store, audit, rotation, clock } = parts;
  return [
    bindCaller(startJobs, async (call) => {
      const { orders } = call.body;
      parts.sessions.mayBegin();
      const items = await store.vault.getItems({ uids: [...new Set(orders.map(({ record }) => record))] });
      const checked = await Promise.all(orders.map((order) => checkOrder(parts, items, order, call.caller)));
      const good = checked.filter((order): order is NewJob => !('error' in order));
      const [first] = checked;
      if (good.length === 0 && first !== undefined && 'error' in first) throw first.error;
      const event = await call.signed('job.ordered', {
        jobs: good.map(({ job }) => job),
        records: good.map(({ record }) => record),
      });
      const { results, head } = await store.rotation.startJobs({ orders: good, told: audit.note(event) });
      audit.moved(head);
      rotation.wake();
      const nowMs = clock.nowMs();
      const stored = results.values();
      return {
        results: checked.map((order) => {
          if ('error' in order) return { error: wireError(order.error) };
          const result = stored.next().value;
          if (result === undefined) throw new PamError('PAM_INTERNAL', 'an order was given no answer');
          return 'error' in result ? { error: wireError(result.error) } : { job: viewJob(result.job, nowMs) };
        }),
      };
    }),
    bindCaller(cancelJob, async (call) => {
      const job = call.param('id', jobIdSchema);
      const event = await call.signed('job.cancelled', { job });
      const [stored, moved] = await store.together(
        (t) => [t.rotation.cancelJob({ job, nowMs: clock.nowMs() }), t.audit.appendEvents(audit.note(event))] as const,
      );
      audit.moved(moved);
      rotation.tellCancelled(stored);
      return { job: viewJob(stored, clock.nowMs()) };
    }),
  ];
}

function lookRoutes(parts: RouterParts): Binding[] {
  const { store, clock, rotation } = parts;
  return [
    bindCaller(listJobs, async ({ query }) => {
      const [createdAtMs, job] = query.before?.split(/\.(.*)/s) ?? [];
      const before =
        createdAtMs === undefined || job === undefined ? {} : { before: { createdAtMs: Number(createdAtMs), job } };
      const { jobs, more } = await store.rotation.listJobs({
        ...(query.record === undefined ? {} : { record: query.record }),
        ...before,
        state: query.state,
        limit: pageJobs,
      });
      return { jobs: jobs.map((job) => viewJob(job, clock.nowMs())), more };
    }),
    bindCaller(getJob, async (call) => {
      const job = call.param('id', jobIdSchema);
      const known = await store.rotation.readJob({ job });
      if (known === null) throw new PamError('PAM_NOT_FOUND', `there is no job ${job}`, { detail: { job } });
      return { job: viewJob(known.job, clock.nowMs()), entries: [...known.entries], notes: [...known.notes] };
    }),
    bindCaller(readRotation, async (call) => {
      const record = call.param('uid', itemUidSchema);
      await recordOf(parts, record);
      const known = await store.rotation.readRotation({ record, nowMs: clock.nowMs() });
      const { nextDueMs, lastJob, trouble } = known;
      return {
        account: known.account,
        versions: [...known.versions],
        nextDueMs,
        lastJob: lastJob === null ? null : viewJob(lastJob, clock.nowMs()),
        trouble,
      };
    }),
    bindCaller(listKinds, async (call) => {
      const gateway = call.param('uid', gatewayUidSchema);
      if (parts.pool.view(gateway) === null) {
        throw new PamError('PAM_NOT_FOUND', `there is no gateway ${gateway}`, { detail: { uid: gateway } });
      }
      const { instance, kinds } = await rotation.kindsOf(gateway);
      return { instance, kinds: [...kinds] };
    }),
  ];
}

function resolveRoutes(parts: RouterParts, news: LinkNews): Binding[] {
  const { store, audit, trust, rotation, clock } = parts;
  return [
    bindCaller(resolveRotation, async (call) => {
      const record = call.param('uid', itemUidSchema);
      const known = await recordOf(parts, record);
      const { version, secrets } = call.body;
      if (secrets !== undefined) {
        checkItem(
          { uid: record, app: known.app, type: known.type, mirror: known.mirror, parts: { secrets } },
          trust.state(),
        );
      }
      const event = await call.signed('rotation.resolved', { record, version, sealed: secrets !== undefined });
      const [item, moved] = await store.together(
        (t) =>
          [
            t.rotation.resolveRotation({
              ...{ record, version, secrets: secrets ?? null, author: call.caller.device, nowMs: clock.nowMs() },
            }),
            t.audit.appendEvents(audit.note(event)),
          ] as const,
      );
      audit.moved(moved);
      if (secrets !== undefined) news.changed([record], known.app);
      rotation.wake();
      return { item };
    }),
  ];
}

/** Orders of jobs, what became of them, and what is known of a record's account. */
export function jobRoutes(parts: RouterParts, news: LinkNews): Binding[] {
  return [...orderRoutes(parts), ...lookRoutes(parts), ...resolveRoutes(parts, news)];
}
