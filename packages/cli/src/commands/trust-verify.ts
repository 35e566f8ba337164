import { PamError, readLog } from '@sallyport/protocol';
import { checkFloor, createLog, foldLog } from '@sallyport/seal';
import type { Run } from '../cli.ts';
import { openSignedIn } from '../person/signed-in.ts';
import { showJson } from '../terminal/show.ts';
import { withProgress } from '../terminal/progress.ts';

/**
 * `pam trust verify`: fetches the whole log from the router once more, verifies it from the anchor and compares every
 * entry with the ones this profile keeps. Any difference is an error with its own code.
 */
export const run: Run = async (cli) => {
  const session = await openSignedIn(cli);
  const kept = session.log.entries();
  const state = await withProgress(cli, 'verifying the trust log', async () => {
    let folded = createLog(session.profile.anchor);
    for (;;) {
      const page = await session.client.call(readLog, { query: { from: folded.head.n + 1 } });
      if (page.entries.length === 0) return folded;
      const from = folded.head.n + 1;
      for (const [index, entry] of page.entries.entries()) {
        const ours = kept[from + index];
        if (ours !== undefined && ours !== entry) {
          throw new PamError(
            'PAM_TRUST_FORKED',
            `the router shows another entry ${from + index} than the one kept here`,
          );
        }
      }
      folded = await foldLog(folded, page.entries);
    }
  });
  session.client.close();
  checkFloor(state, session.profile.floor);
  checkFloor(state, session.log.state().head);
  const summary = {
    entries: state.head.n + 1,
    head: { n: state.head.n, hash: state.head.hash },
    anchor: state.anchor,
    persons: state.persons.size,
    devices: [...state.devices.values()].filter((device) => !device.removed).length,
    applications: [...state.apps.values()].filter((app) => !app.removed).length,
    gateways: [...state.gateways.values()].filter((gateway) => !gateway.removed).length,
  };
  if (cli.format === 'json') showJson(cli.terminal, { verified: true, ...summary });
  else {
    cli.terminal.out(
      `verified ${summary.entries} entries from the anchor: ${summary.persons} persons, ${summary.devices} devices, ` +
        `${summary.applications} applications, ${summary.gateways} gateways\nhead ${summary.head.n} ${summary.head.hash}\n`,
    );
  }
  return undefined;
};
