// The Debian packages that the tests use as real targets. Dependency-free; called by bootstrap.mjs --tests.
//
// As root they are installed, and no daemon of theirs is started. On a terminal it asks first; CI=true never asks;
// SALLYPORT_TEST_APT=0 leaves the machine alone. Whatever is missing afterwards: its tests are skipped, one line
// says so, and with CI=true that is a failure.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';

const policyFile = '/usr/sbin/policy-rc.d';
const policyAside = '/usr/sbin/policy-rc.d.sallyport-aside';
const policyText = '#!/bin/sh\n# sallyport: while its test packages are installed, nothing may be started\nexit 101\n';
const exitUnavailable = 69;

const say = (line) => process.stderr.write(`sallyport: ${line}\n`);
const list = (targets) => targets.map(({ name }) => name).join(', ');
const packagesOf = (targets) => [...new Set(targets.flatMap(({ packages }) => packages))];

/** Runs `work` while a policy-rc.d forbids package scripts to start daemons; puts back what was there before. */
function withoutDaemons(work) {
  const isOurs = existsSync(policyFile) && readFileSync(policyFile, 'utf8') === policyText;
  const hadOne = existsSync(policyFile) && !isOurs;
  if (hadOne) renameSync(policyFile, policyAside);
  const restore = () => {
    rmSync(policyFile, { force: true });
    if (existsSync(policyAside)) renameSync(policyAside, policyFile);
  };
  const stop = (signal) => {
    restore();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    writeFileSync(policyFile, policyText, { mode: 0o755 });
    return work();
  } finally {
    restore();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function apt(args) {
  const options = ['-qq', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=2', '-o', 'Dpkg::Use-Pty=0'];
  const child = spawnSync('apt-get', [...options, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
  });
  return { ok: child.status === 0, why: child.stderr?.toString().trim().split('\n').at(-1) ?? String(child.error) };
}

async function mayInstall(missing) {
  if (process.env.SALLYPORT_TEST_APT === '0') return 'SALLYPORT_TEST_APT=0';
  if (process.getuid?.() !== 0) return 'only root can install Debian packages';
  if (!existsSync('/usr/bin/apt-get')) return 'there is no apt-get';
  if (process.env.CI === 'true' || process.env.SALLYPORT_TEST_APT === '1' || !process.stdin.isTTY) return undefined;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(
      `sallyport: the tests use ${packagesOf(missing).join(' ')} (Debian). Install them? No daemon is started. [Y/n] `,
    );
    return /^\s*(y|yes|)\s*$/i.test(answer) ? undefined : 'as you wish';
  } finally {
    terminal.close();
  }
}

export async function installTestPackages(listFile) {
  const { targets } = JSON.parse(readFileSync(listFile, 'utf8'));
  const missingNow = () => targets.filter(({ probe }) => !existsSync(probe));
  const missing = missingNow();
  if (missing.length === 0) return;
  let why = await mayInstall(missing);
  if (why === undefined) {
    say(`installing ${packagesOf(missing).join(' ')} for the tests (no daemon is started)…`);
    withoutDaemons(() => {
      const update = apt(['update']);
      const install = apt(['install', '-y', '--no-install-recommends', ...packagesOf(missing)]);
      if (!install.ok) why = update.ok ? install.why : update.why;
    });
  }
  const still = missingNow();
  if (still.length === 0) return;
  say(`tests that need ${list(still)} will be skipped: ${why ?? 'apt installed no such program'}`);
  if (process.env.CI === 'true') {
    say('with CI=true every target of packages/testkit/debian-packages.json must be there');
    process.exit(exitUnavailable);
  }
}
