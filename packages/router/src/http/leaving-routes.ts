import {
  gatewayUidSchema,
  instanceIdSchema,
  killSession,
  PamError,
  sessionIdSchema,
  setInstanceIntent,
} from '@sallyport/protocol';
import type { Intent, MemberRow } from '../pool/index.ts';
import { type Binding, bindCaller, type Caller } from './call.ts';
import type { RouterParts } from './router-parts.ts';

const auditKinds = { serve: 'instance.uncordoned', cordon: 'instance.cordoned', drain: 'instance.drained' } as const;

/** Instances leave (cordon, drain), and sessions are ended by somebody. */
export function leavingRoutes(parts: RouterParts): Binding[] {
  const { store, trust, audit, clock, pool, sessions } = parts;

  const wordsOf = (caller: Caller, reason: string): string => {
    const name = trust.state().personOf(caller.device)?.name ?? caller.person;
    return `by ${name}${reason === '' ? '' : `: ${reason}`}`.slice(0, 256);
  };

  return [
    bindCaller(setInstanceIntent, async (call) => {
      const gateway = call.param('uid', gatewayUidSchema);
      const instance = call.param('instance', instanceIdSchema);
      const { intent: asked } = call.body;
      const nowMs = clock.nowMs();
      const event = await call.signed(auditKinds[asked.kind], { gateway, instance, ...asked });
      const intent: Intent =
        asked.kind === 'drain'
          ? {
              kind: 'drain',
              by: 'operator',
              deadlineAtMs: nowMs + asked.deadlineInMs,
              ...(asked.replace ? { replace: true } : {}),
            }
          : asked;
      const streams = pool.streamsOf(gateway).get(instance) ?? 0;
      const [set, moved] = await store.together(
        (t) =>
          [t.pool.setIntent({ gateway, instance, intent, nowMs }), t.audit.appendEvents(audit.note(event))] as const,
      );
      audit.moved(moved);
      if (set === null) throw new PamError('PAM_NOT_FOUND', `there is no gateway ${gateway}`, { detail: { gateway } });
      pool.adopt(set);
      const row = set.members.find((member) => member.instance === instance);
      return { gateway, instance, ...stateOf(row), streams };
    }),
    bindCaller(killSession, async (call) => {
      const id = call.param('id', sessionIdSchema);
      const { reason } = call.body;
      const event = await call.signed('session.killed', { id, reason });
      const { person, device } = call.caller;
      const words = wordsOf(call.caller, reason);
      const mayAll = trust.state().grants(device, 'gateways');
      await sessions.flush();
      const [killed, moved] = await store.together(
        (t) =>
          [
            t.session.killSession({ id, by: mayAll ? null : person, words, nowMs: clock.nowMs() }),
            t.audit.appendEvents(audit.note(event)),
          ] as const,
      );
      audit.moved(moved);
      const untold = sessions.carryOut(killed, words);
      return { killed: killed.killed, session: killed.session, streams: killed.streams.length, untold };
    }),
  ];
}

/** A standby that was drained has no row any more. */
function stateOf(row: MemberRow | undefined): {
  readonly membership: 'slot' | 'standby';
  readonly deadlineAtMs: number | null;
} {
  const membership = row?.membership === 'slot' ? 'slot' : 'standby';
  return { membership, deadlineAtMs: row?.intent.kind === 'drain' ? row.intent.deadlineAtMs : null };
}
