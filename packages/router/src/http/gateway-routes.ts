import {
  acknowledgeToken,
  createGateway,
  type GatewayUid,
  gatewayUidSchema,
  type GatewayView,
  type ItemUid,
  listGateways,
  PamError,
  redeemToken,
  rekeyGateway,
  removeGateway,
  setMaxInstances,
} from '@sallyport/protocol';
import { entryOfKind } from '../identity/index.ts';
import { checkNewGateway, checkRekeyedGateway } from '../vault/index.ts';
import { type Binding, bindCaller, bindPublic } from './call.ts';
import type { LinkNews, RouterParts } from './router-parts.ts';

/** The item that names a gateway has the gateway's UID. */
function itemUidOf(gateway: GatewayUid): ItemUid {
  return gateway as string as ItemUid;
}

function unknownGateway(gateway: GatewayUid): PamError {
  return new PamError('PAM_NOT_FOUND', `there is no gateway ${gateway}`, { detail: { uid: gateway } });
}

async function listPools(parts: RouterParts): Promise<GatewayView[]> {
  const views = parts.pool.list();
  const items = await parts.store.vault.getItems({ uids: views.map((view) => itemUidOf(view.gateway.uid)) });
  const byUid = new Map(items.map((item) => [item.uid as string, item]));
  const answer: GatewayView[] = [];
  for (const { gateway, instances } of views) {
    const item = byUid.get(gateway.uid);
    if (item === undefined) continue; // removed between the two reads
    answer.push({
      item,
      maxInstances: gateway.maxInstances,
      createdAtMs: gateway.createdAtMs,
      modifiedAtMs: gateway.modifiedAtMs,
      everConnected: gateway.everConnected,
      instances: [...instances],
    });
  }
  return answer;
}

function manageRoutes(parts: RouterParts, news: LinkNews): Binding[] {
  const { store, trust, audit, clock, pool } = parts;
  return [
    bindCaller(listGateways, async () => ({ gateways: await listPools(parts) })),
    bindCaller(createGateway, async (call) => {
      const { body, caller } = call;
      const { gateway, app } = entryOfKind(body.entry, 'gateway');
      const event = await call.signed('gateway.created', { gateway, app, maxInstances: body.maxInstances });
      const head = await trust.append([body.entry], async (append, next) => {
        checkNewGateway({ gateway, app, item: body.item, wraps: body.wraps }, next);
        const nowMs = clock.nowMs();
        const { token } = body;
        const [to, , , , moved] = await store.together(
          (t) =>
            [
              t.trust.appendEntries({ ...append, nowMs }),
              t.pool.createGateway({
                uid: gateway,
                app,
                maxInstances: body.maxInstances,
                token:
                  token === undefined
                    ? null
                    : { lookup: token.lookup, blob: token.blob, expiresAtMs: nowMs + token.lifeMinutes * 60_000 },
                nowMs,
              }),
              t.vault.putItems({ items: [body.item], author: caller.device, nowMs }),
              t.vault.putWraps({ wraps: body.wraps }),
              t.audit.appendEvents(audit.note(event)),
            ] as const,
        );
        audit.moved(moved);
        return to;
      });
      await pool.gatewayCreated(gateway);
      news.changed([body.item.uid], app);
      return { head };
    }),
    bindCaller(setMaxInstances, async (call) => {
      const gateway = call.param('uid', gatewayUidSchema);
      const { maxInstances, drainSurplus } = call.body;
      if (pool.view(gateway) === null) throw unknownGateway(gateway);
      const drains = drainSurplus === undefined ? {} : { drainSurplusMs: drainSurplus.deadlineInMs };
      const event = await call.signed('gateway.resized', { gateway, maxInstances, ...drains });
      const nowMs = clock.nowMs();
      const streams = pool.streamsOf(gateway);
      const counts = [...streams].map(([instance, count]) => ({ instance, streams: count }));
      const surplus = drainSurplus && { counts, deadlineAtMs: nowMs + drainSurplus.deadlineInMs };
      const [set, moved] = await store.together(
        (t) =>
          [
            t.pool.setMaximum({ gateway, maxInstances, surplus, nowMs }),
            t.audit.appendEvents(audit.note(event)),
          ] as const,
      );
      audit.moved(moved);
      if (set === null) throw unknownGateway(gateway);
      pool.adopt(set.snapshot);
      const drained = set.drained.map((instance) => ({ instance, streams: streams.get(instance) ?? 0 }));
      for (const { instance } of drained) audit.later('instance.draining', { gateway, instance, by: 'surplus' });
      return { before: set.before, maxInstances, admitted: set.admitted, drained };
    }),
    bindCaller(rekeyGateway, async (call) => {
      const gateway = call.param('uid', gatewayUidSchema);
      const { entry, wraps } = call.body;
      if (entryOfKind(entry, 'gateway-rekeyed').gateway !== gateway) {
        throw new PamError('PAM_BAD_REQUEST', 'the entry is for another gateway');
      }
      const event = await call.signed('gateway.rekeyed', { gateway });
      const { head, rekeyed } = await trust.append([entry], async (append, next) => {
        checkRekeyedGateway({ gateway, wraps }, next);
        const nowMs = clock.nowMs();
        const before = trust.state().gateways.get(gateway)?.boxKeyId ?? '';
        const [to, pooled, , , moved] = await store.together(
          (t) =>
            [
              t.trust.appendEntries({ ...append, nowMs }),
              t.pool.rekeyGateway({ uid: gateway, nowMs }),
              t.vault.dropWraps({ recipient: before }),
              t.vault.putWraps({ wraps }),
              t.audit.appendEvents(audit.note(event)),
            ] as const,
        );
        audit.moved(moved);
        return { head: to, rekeyed: pooled };
      });
      news.gatewayRekeyed(gateway);
      pool.gatewayRekeyed(rekeyed.snapshot);
      news.changed([], null);
      return { head, cut: rekeyed.gone.length };
    }),
    bindCaller(removeGateway, async (call) => {
      const gateway = call.param('uid', gatewayUidSchema);
      const { entry } = call.body;
      if (entryOfKind(entry, 'gateway-removed').gateway !== gateway) {
        throw new PamError('PAM_BAD_REQUEST', 'the entry removes another gateway');
      }
      const event = await call.signed('gateway.removed', { gateway });
      // After a restore the log may name a gateway whose settings are lost: then its entry is all there is to end.
      const isLost = pool.view(gateway) === null;
      const head = await trust.append([entry], async (append) => {
        const nowMs = clock.nowMs();
        const [to, moved] = await store.together(
          (t) =>
            [
              t.trust.appendEntries({ ...append, nowMs }),
              t.audit.appendEvents(audit.note(event)),
              ...(isLost
                ? []
                : [
                    t.vault.removeItem({ uid: itemUidOf(gateway), nowMs }),
                    t.pool.removeGateway({ uid: gateway, nowMs }),
                  ]),
            ] as const,
        );
        audit.moved(moved);
        return to;
      });
      news.gatewayRemoved(gateway);
      pool.gatewayRemoved(gateway);
      return { head };
    }),
  ];
}

const tokenRefusals = {
  unknown: ['PAM_TOKEN_UNKNOWN', 'this router does not know the one-time token'],
  expired: ['PAM_TOKEN_EXPIRED', 'the one-time token has expired'],
  used: ['PAM_TOKEN_USED', 'the one-time token was used by somebody else'],
} as const;

function tokenRoutes(parts: RouterParts): Binding[] {
  const { store, audit, clock, brakes } = parts;
  return [
    bindPublic(redeemToken, async (call) => {
      brakes.tokenAddress.take(call.address);
      const redeemer = await call.prove();
      const { lookup } = call.body;
      brakes.token.take(lookup);
      const answer = await store.pool.redeemToken({ lookup, redeemer, nowMs: clock.nowMs() });
      if (answer.kind === 'blob') {
        audit.later('token.redeemed', { gateway: answer.gateway, redeemer, from: call.address });
        return { gateway: answer.gateway, blob: answer.blob };
      }
      audit.later('token.refused', { why: answer.kind, redeemer, from: call.address });
      const [code, message] = tokenRefusals[answer.kind];
      throw new PamError(code, message);
    }),
    bindPublic(acknowledgeToken, async (call) => {
      brakes.tokenAddress.take(call.address);
      const redeemer = await call.prove();
      await store.pool.acknowledgeToken({ lookup: call.body.lookup, redeemer, nowMs: clock.nowMs() });
      audit.later('token.acknowledged', { redeemer, from: call.address });
      return {};
    }),
  ];
}

/** Gateways, their maximum, and one-time tokens. */
export function gatewayRoutes(parts: RouterParts, news: LinkNews): Binding[] {
  return [...manageRoutes(parts, news), ...tokenRoutes(parts)];
}
