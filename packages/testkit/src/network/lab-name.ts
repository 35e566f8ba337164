/**
 * Names of the namespaces of a lab carry the process that made them, so that whoever comes later can tell what was left
 * behind by somebody dead: `sallyport-PID.START-N-HOST`. START is the process's start in clock ticks since boot: a pid
 * alone comes again.
 */
export interface LabOwner {
  readonly pid: number;
  readonly start: string;
}

const pattern = /^sallyport-(\d{1,10})\.(\d{1,20})-\d{1,6}-[a-z][a-z0-9]{0,15}$/;

/** @throws when `host` is not 1 to 16 small letters and digits: it becomes part of a file name. */
export function namespaceName(owner: LabOwner, lab: number, host: string): string {
  const name = `sallyport-${owner.pid}.${owner.start}-${lab}-${host}`;
  if (!pattern.test(name)) throw new Error(`a host's name is a small letter and up to 15 more or digits, not ${host}`);
  return name;
}

/** Who made a namespace of this name; null when it is none of ours. */
export function ownerOf(name: string): LabOwner | null {
  const [, pid, start] = pattern.exec(name) ?? [];
  return pid === undefined || start === undefined ? null : { pid: Number(pid), start };
}

/** Those of `names` that are ours and whose maker is gone. `startOf`: start of the process that has a pid now. */
export function leftovers(names: readonly string[], startOf: (pid: number) => string | null): readonly string[] {
  return names.filter((name) => {
    const owner = ownerOf(name);
    return owner !== null && startOf(owner.pid) !== owner.start;
  });
}
