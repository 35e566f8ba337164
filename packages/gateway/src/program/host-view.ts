import { readFileSync } from 'node:fs';
import os from 'node:os';
import type { HostView } from '@sallyport/protocol';

function releaseName(): string {
  try {
    const text = readFileSync('/etc/os-release', 'utf8').slice(0, 65_536);
    return /^PRETTY_NAME="?([^"\n]{1,200})/m.exec(text)?.[1] ?? os.release();
  } catch (reason) {
    if (reason instanceof Error && 'code' in reason) return os.release();
    throw reason;
  }
}

/** The machine this instance runs on, as `pam gateway list -v` shows it. */
export function readHostView(): HostView {
  return {
    deviceName: os.hostname().slice(0, 255),
    os: os.platform(),
    osVersion: releaseName().slice(0, 255),
    arch: os.arch(),
    machineType: os.machine().slice(0, 64),
  };
}
