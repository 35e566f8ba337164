import type { Run } from '../cli.ts';
import { openSignedIn } from '../person/signed-in.ts';
import { isoTime, showJson, showTable, timeCell } from '../terminal/show.ts';

/** `pam device list`: every device the trust log knows, with whose it is; read from the log, not from the router's word. */
export const run: Run = async (cli) => {
  const session = await openSignedIn(cli);
  session.client.close();
  const log = session.log.state();
  const devices = [...log.devices.values()].sort((a, b) => a.since - b.since);
  const nameOf = (uid: string) => log.persons.get(uid)?.name ?? uid;
  if (cli.format === 'json') {
    showJson(cli.terminal, {
      devices: devices.map((device) => ({
        device_id: device.id,
        label: device.label,
        kind: device.kind,
        person_uid: device.person,
        person_name: nameOf(device.person),
        since: isoTime(device.since * 1_000),
        removed: device.removed,
        this_device: device.id === session.device.key.id,
      })),
    });
    return undefined;
  }
  showTable(
    cli.terminal,
    ['device', 'label', 'person', 'kind', 'since', 'state'],
    devices.map((device) => [
      device.id,
      device.label,
      nameOf(device.person),
      device.kind,
      timeCell(device.since * 1_000),
      device.removed ? 'removed' : device.id === session.device.key.id ? 'this device' : 'trusted',
    ]),
  );
  return undefined;
};
