import {
  endSession,
  explainSession,
  listSessions,
  PamError,
  resumeStream,
  routeStream,
  sessionIdSchema,
  startSession,
  streamIdSchema,
  touchSession,
} from '@sallyport/protocol';
import { z } from 'zod';
import { type Binding, bindCaller } from './call.ts';
import type { RouterParts } from './router-parts.ts';

/** Session id, stream id, or `last`. */
const explainedSchema = z.union([z.literal('last'), sessionIdSchema]);

/** Sessions, their streams, and why a stream went where it went. */
export function sessionRoutes(parts: RouterParts): Binding[] {
  const { store, trust, audit, sessions, clock, pool } = parts;
  return [
    bindCaller(startSession, async (call) => {
      const { session, gateway, resource, workload } = call.body;
      sessions.mayBegin();
      const known = trust.state().gateways.get(gateway);
      if (known === undefined || known.removed || pool.view(gateway) === null) {
        throw new PamError('PAM_NOT_FOUND', `there is no gateway ${gateway}`, { detail: { uid: gateway } });
      }
      const event = await call.signed('session.started', { session, gateway, resource, workload });
      const { person, device } = call.caller;
      const startedAtMs = clock.nowMs();
      const [, moved] = await store.together(
        (t) =>
          [
            t.session.startSession({ session, person, device, gateway, resource, workload, startedAtMs }),
            t.audit.appendEvents(audit.note(event)),
          ] as const,
      );
      audit.moved(moved);
      return {};
    }),
    bindCaller(routeStream, async (call) => {
      const session = call.param('id', sessionIdSchema);
      const { stream, request, not } = call.body;
      const { person, device } = call.caller;
      const placed = await sessions.route({ session, stream, request, not, person, device });
      audit.later('stream.routed', { session, stream, instance: placed.instance, attempt: placed.attempt });
      const { instance, ticket, attempt, probe } = placed;
      return { instance, ticket, attempt, ...(probe ? { probe } : {}) };
    }),
    bindCaller(resumeStream, async (call) => {
      const session = call.param('id', sessionIdSchema);
      const stream = call.param('stream', streamIdSchema);
      const { person, device } = call.caller;
      // Both are the device's own: whoever knows a stream's id from a list could else keep its user from resuming it.
      parts.brakes.resumeStream.take(`${device} ${stream}`);
      parts.brakes.resumeDevice.take(device);
      const resumed = await sessions.resume({ session, stream, person, device, ...call.body });
      audit.later('stream.resumed', { session, stream, instance: resumed.instance });
      return { instance: resumed.instance, ticket: resumed.ticket };
    }),
    bindCaller(touchSession, async (call) => {
      const session = call.param('id', sessionIdSchema);
      await sessions.own(session, call.caller.person);
      return await store.session.touchSession({ session, nowMs: clock.nowMs() });
    }),
    bindCaller(endSession, async (call) => {
      const session = call.param('id', sessionIdSchema);
      const row = await sessions.own(session, call.caller.person);
      if (row.endedAtMs !== null) return {};
      await sessions.end(session, call.body.reason);
      audit.later('session.ended', { session, reason: call.body.reason, person: call.caller.person });
      return {};
    }),
    bindCaller(listSessions, async ({ query }) => {
      await sessions.flush();
      const list = await store.session.listSessions({
        ended: query.ended === 'yes',
        streams: query.streams === 'yes',
        limit: query.limit,
      });
      return { sessions: [...list] };
    }),
    bindCaller(explainSession, async (call) => {
      const id = call.param('id', explainedSchema);
      await sessions.flush();
      const streams = await store.session.explainStreams(id === 'last' ? { lastOf: call.caller.person } : { id });
      if (streams.length === 0) throw new PamError('PAM_NOT_FOUND', `there is no session or stream ${id}`);
      return {
        streams: streams.map(({ stream, decisions }) => ({ stream, decisions: decisions.slice(0, 64) })).slice(0, 50),
      };
    }),
  ];
}
