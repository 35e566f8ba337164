import { type LogEntryBody, type LogState, peekEntry } from '@sallyport/seal';
import type { Run } from '../cli.ts';
import { openSignedIn } from '../person/signed-in.ts';
import { isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';

/** `pam trust log`: the entries of the trust log, oldest first, after the whole of it was verified. */
export const run: Run = async (cli) => {
  const session = await openSignedIn(cli);
  session.client.close();
  const state = session.log.state();
  const entries = session.log.entries().map((entry) => peekEntry(entry));
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      anchor: state.anchor,
      head: { n: state.head.n, hash: state.head.hash },
      entries: entries.map((entry) => ({
        n: entry.n,
        hash: state.hashes[entry.n],
        at: isoTime(entry.at * 1_000),
        kind: entry.kind,
        signed_by: entry.kid,
        body: entry.body,
      })),
    });
    return undefined;
  }
  showTable(
    cli.terminal,
    ['n', 'at', 'kind', 'signed by', 'about'],
    entries.map((entry) => [
      entry.n,
      timeCell(entry.at * 1_000),
      entry.kind,
      signerName(state, entry.kid),
      about(entry.body),
    ]),
  );
  return undefined;
};

function signerName(state: LogState, kid: string): string {
  const device = state.devices.get(kid);
  if (device !== undefined) return device.label;
  const person = [...state.persons.values()].find((one) => one.signKeyId === kid);
  return person === undefined ? kid : person.name;
}

function about(body: LogEntryBody): string {
  switch (body.kind) {
    case 'genesis':
    case 'person':
      return `${body.person.name} (${body.person.uid})`;
    case 'device':
      return `${body.device.label} (${body.device.id})`;
    case 'application':
    case 'app-removed':
      return body.app;
    case 'generation':
      return `${body.app} generation ${body.gen}`;
    case 'gateway':
      return `${body.gateway} of ${body.app}`;
    case 'gateway-removed':
    case 'gateway-rekeyed':
      return body.gateway;
    case 'device-removed':
      return body.device;
    case 'router-pin':
      return body.pins.join(' ');
    default:
      return body satisfies never;
  }
}
