import { listSessions, type StreamView } from '@sallyport/protocol';
import { z } from 'zod';
import type { Run } from '../cli.ts';
import { readFlags } from '../flags.ts';
import { readWhole } from '../gateway/gateway-flags.ts';
import { bytesText, isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';
import { openVaultSession } from '../vault/open-session.ts';

const flagsSchema = z.object({
  streams: z.boolean().default(false),
  ended: z.boolean().default(false),
  limit: z.string().default('100'),
});

/** `open`, why it ended, or how long a stream without a carrier is still waited for. */
function streamState(stream: StreamView): string {
  if (stream.state === 'ended') return stream.reason ?? 'ended';
  const { detachedAtMs, detachedUntilMs } = stream;
  if (detachedAtMs === null || detachedUntilMs === null) return stream.state;
  return `detached since ${timeCell(detachedAtMs)}, ends ${timeCell(detachedUntilMs)}`;
}

/** `pam session list [--streams]`: sessions as rows, with `--streams` a row for each of their streams. Titles are opened here. */
export const run: Run = async (cli, _args, rawFlags) => {
  const flags = readFlags(flagsSchema, rawFlags);
  const limit = readWhole('--limit', flags.limit, 1, 500);
  const session = await openVaultSession(cli);
  const { sessions } = await session.client.call(listSessions, {
    query: { streams: flags.streams ? 'yes' : 'no', ended: flags.ended ? 'yes' : 'no', limit },
  });
  const { items } = await session.vault.items([]);
  const { persons } = session.log.state();
  session.close();
  const titleOf = (uid: string) => items.find((item) => item.uid === uid)?.title ?? uid;
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      sessions: sessions.map((one) => ({
        session_id: one.session,
        person_uid: one.person,
        person_name: persons.get(one.person)?.name ?? null,
        workload: one.workload,
        record_uid: one.resource,
        record_name: titleOf(one.resource),
        gateway_uid: one.gateway,
        gateway_name: titleOf(one.gateway),
        started_on: isoTime(one.startedAtMs),
        ended_on: isoTime(one.endedAtMs),
        reason: one.reason,
        open_streams: one.openStreams,
        total_streams: one.totalStreams,
        ...(one.streams === undefined
          ? {}
          : {
              streams: one.streams.map((stream) => ({
                stream_id: stream.stream,
                instance_id: stream.instance,
                state: stream.state,
                detached_since: isoTime(stream.detachedAtMs),
                detached_until: isoTime(stream.detachedUntilMs),
                started_on: isoTime(stream.startedAtMs),
                ended_on: isoTime(stream.endedAtMs),
                reason: stream.reason,
                bytes_up: stream.bytesUp,
                bytes_down: stream.bytesDown,
              })),
            }),
      })),
    });
    return undefined;
  }
  if (sessions.length === 0) {
    cli.terminal.err(`No session ${flags.ended ? 'is known' : 'runs'}: pam tunnel start RECORD starts one.\n`);
    return undefined;
  }
  showTable(
    cli.terminal,
    [
      'session or stream',
      'person',
      'record or instance',
      'gateway',
      'state',
      'started',
      'ended',
      'streams',
      'up',
      'down',
    ],
    sessions.flatMap((one) => [
      [
        one.session,
        persons.get(one.person)?.name ?? one.person,
        titleOf(one.resource),
        titleOf(one.gateway),
        one.endedAtMs === null ? 'running' : (one.reason ?? 'ended'),
        timeCell(one.startedAtMs),
        timeCell(one.endedAtMs),
        `${one.openStreams}/${one.totalStreams}`,
        '',
        '',
      ],
      ...(one.streams ?? []).map((stream) => [
        `|- ${stream.stream}`,
        '',
        stream.instance ?? '',
        '',
        streamState(stream),
        timeCell(stream.startedAtMs),
        timeCell(stream.endedAtMs),
        '',
        bytesText(stream.bytesUp),
        bytesText(stream.bytesDown),
      ]),
    ]),
  );
  return undefined;
};
