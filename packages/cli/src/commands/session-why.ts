import {
  type Candidate,
  type Decision,
  explainSession,
  PamError,
  replayDecision,
  sessionIdSchema,
} from '@sallyport/protocol';
import type { Run } from '../cli.ts';
import { argument } from '../flags.ts';
import { openSignedIn } from '../person/signed-in.ts';
import { bytesText, isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';
import { plain } from '../terminal/terminal.ts';

/**
 * `pam session why ID|last`: for each stream every decision, its candidates, why each was passed over, and whether the
 * recorded candidates and turn give the recorded pick again.
 */
export const run: Run = async (cli, args) => {
  const id = argument(args, 0);
  if (id !== 'last' && !sessionIdSchema.safeParse(id).success) {
    throw new PamError('PAM_USAGE', `“${id}” is neither a session, nor a stream, nor last`);
  }
  const session = await openSignedIn(cli);
  const { streams } = await session.client.call(explainSession, { params: { id } });
  session.client.close();
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      streams: streams.map(({ stream, decisions }) => ({
        stream_id: stream.stream,
        session_id: stream.session,
        instance_id: stream.instance,
        state: stream.state,
        started_on: isoTime(stream.startedAtMs),
        ended_on: isoTime(stream.endedAtMs),
        reason: stream.reason,
        ended_by: stream.words,
        bytes_up: stream.bytesUp,
        bytes_down: stream.bytesDown,
        decisions: decisions.map((decision) => ({
          at: isoTime(decision.atMs),
          cause: decision.cause,
          cursor_before: decision.cursorBefore,
          pick: decision.pick,
          replays: replays(decision),
          candidates: decision.candidates.map((one) => ({
            instance_id: one.instance,
            seq: one.seq,
            class: one.class,
            excluded: one.excluded,
            note: one.note ?? null,
            until: isoTime(one.untilMs ?? null),
          })),
        })),
      })),
    });
    return undefined;
  }
  for (const { stream, decisions } of streams) {
    const state =
      stream.state === 'ended'
        ? `ended ${timeCell(stream.endedAtMs)}: ${stream.reason ?? 'unknown'}${stream.words === '' ? '' : ` ${plain(stream.words)}`}`
        : stream.state;
    cli.terminal.out(
      `stream ${stream.stream} of session ${stream.session}\n` +
        `  ${state}; ${bytesText(stream.bytesUp)} up, ${bytesText(stream.bytesDown)} down; instance ${stream.instance ?? 'none'}\n`,
    );
    for (const [index, decision] of decisions.entries()) {
      cli.terminal.out(
        `  decision ${index + 1}, ${timeCell(decision.atMs)}, ${causeText(decision)}; the last turn was ${decision.cursorBefore}\n`,
      );
      if (decision.candidates.length > 0) {
        showTable(
          cli.terminal,
          ['    turn', 'instance', 'class', 'outcome'],
          decision.candidates.map((one) => [
            `    ${one.seq}`,
            one.instance,
            one.class ?? '',
            outcomeText(decision, one),
          ]),
        );
      } else cli.terminal.out('    no instance is admitted\n');
      cli.terminal.out(
        replays(decision)
          ? '    replayed from these candidates and that turn: the same choice\n'
          : `    REPLAYED, THE CHOICE IS ANOTHER: ${replayDecision(decision) ?? 'nobody'}; the router did not pick by the rule\n`,
      );
    }
  }
  return undefined;
};

const causes: Readonly<Record<Decision['cause'], string>> = {
  first: 'first try',
  retry: 'the client tried again',
  refused: 'the instance before refused',
  hedge: 'the instance before was silent',
  'link-closed': 'the instance before lost its link',
};

/** The rule, applied again to what was recorded, gives the recorded pick. */
function replays(decision: Decision): boolean {
  return replayDecision(decision) === decision.pick;
}

function outcomeText(decision: Decision, one: Candidate): string {
  const until = one.untilMs === undefined ? '' : ` until ${timeCell(one.untilMs)}`;
  const note = one.note === undefined ? '' : `${one.note}${until}`;
  if (one.instance === decision.pick) return note === '' ? 'picked' : `picked (${note})`;
  if (one.excluded !== null) return one.excluded;
  return note === '' ? 'later in the cycle' : note;
}

function causeText(decision: Decision): string {
  return decision.pick === null ? `${causes[decision.cause]}: nobody could be picked` : causes[decision.cause];
}
