#!/usr/bin/env node
// Starts the program under Node 24 or newer: this one, or the one that came along as node-linux-*.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

function bundledNode() {
  try {
    return createRequire(import.meta.url).resolve(`node-linux-${process.arch}/bin/node`);
  } catch {
    process.stderr.write(
      `pam: Node 24 or newer is needed, this is ${process.versions.node}; install it, or run npm ci.\n`,
    );
    process.exit(78);
  }
}

if (Number.parseInt(process.versions.node, 10) >= 24) {
  // A thread that compiles in the background may wait for the main thread to collect garbage, which waits for that
  // thread to end: process.exit() then never returns (nodejs/node#54918). Code is made in the main thread instead.
  setFlagsFromString('--no-concurrent-sparkplug');
  const { main } = await import('../src/main.ts');
  const code = await main(process.argv.slice(2));
  // Not merely `exitCode`: a socket that lingers must not keep a program that has ended. What it wrote goes out first.
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((sent) => stream.write('', sent))));
  process.exit(code);
} else {
  const self = fileURLToPath(import.meta.url);
  const child = spawn(bundledNode(), [self, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal sends Ctrl-C to both of us, a service manager only to this one: pass on what the child did not get.
  const pass = (signal) => child.kill(signal);
  const ignore = () => {};
  for (const signal of ['SIGTERM', 'SIGUSR2']) process.on(signal, pass);
  for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, process.stdin.isTTY ? ignore : pass);
  child.on('error', (error) => {
    process.stderr.write(`pam: ${error.message}\n`);
    process.exit(78);
  });
  child.on('exit', (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
}
