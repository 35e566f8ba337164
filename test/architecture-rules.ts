import { posix } from 'node:path';
import type { ModuleFacts } from './module-facts.ts';

/** Which packages a package may import (its tests too). Direction: docs/architecture.md. */
const packageDirections: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  seal: ['protocol'],
  stream: ['protocol', 'seal'],
  rotation: ['protocol'],
  router: ['protocol', 'seal', 'stream', 'rotation'],
  'kind-support': ['protocol', 'rotation'],
  'kind-mongodb': ['protocol', 'rotation', 'kind-support'],
  'kind-sqlserver': ['protocol', 'rotation', 'kind-support'],
  gateway: ['protocol', 'seal', 'stream', 'rotation', 'kind-support'],
  cli: ['protocol', 'seal', 'stream', 'rotation'],
  testkit: ['protocol', 'seal', 'stream', 'rotation'],
};

const routerConcepts = ['pool', 'session', 'vault', 'identity', 'trust', 'audit', 'alert', 'rotation'];
const routerAdapters = ['http', 'link', 'store', 'relay', 'watch'];
const conceptFolders = new Set([
  ...routerConcepts.map((name) => `packages/router/src/${name}`),
  'packages/gateway/src/agent',
  'packages/gateway/src/kind',
  'packages/gateway/src/rotation',
  'packages/gateway/src/tunnel',
  'packages/gateway/src/watch',
]);
/** Concepts that stand on no other concept. */
const loneConcepts = new Set(['audit', 'vault']);
const webOnlyPackages = new Set(['protocol', 'seal']);

const isTest = (path: string): boolean => /\.test\.ts$|^(test|e2e|bench|scripts)\/|\/test\//.test(path);

const packageOf = (path: string): string => /^packages\/([^/]+)\//.exec(path)?.[1] ?? '';
const folderOf = (path: string): string => /^packages\/[^/]+\/src\/[^/]+(?=\/)/.exec(path)?.[0] ?? '';
const resolve = (from: string, specifier: string): string => posix.join(posix.dirname(from), specifier);

function importsOf(module: ModuleFacts, names = module.imports): readonly string[] {
  return names.filter((specifier) => specifier.startsWith('.')).map((name) => resolve(module.path, name));
}

function directionOf(module: ModuleFacts): string[] {
  const home = packageOf(module.path);
  if (home === '') return [];
  const allowed = packageDirections[home];
  if (!allowed) return [`${module.path}: package ${home} has no direction in architecture-rules.ts`];
  const named = module.imports
    .map((name) => /^@sallyport\/([^/]+)(\/.*)?$/.exec(name))
    .filter((match) => match !== null);
  const deep = named
    .filter(([, , rest]) => rest)
    .map(([name]) => `${module.path}: imports the inside of a package (${name})`);
  const escapes = importsOf(module).filter((path) => packageOf(path) !== home);
  const wrong = named
    .map(([, name = '']) => name)
    .filter((name) => !allowed.includes(name) && !(name === 'testkit' && isTest(module.path)))
    .map((name) => `${module.path}: ${home} must not import ${name}`);
  return [...deep, ...wrong, ...escapes.map((path) => `${module.path}: reaches into ${path} by path`)];
}

function foldersOf(module: ModuleFacts): string[] {
  const home = folderOf(module.path);
  const [, concept = ''] = /^packages\/router\/src\/([^/]+)$/.exec(home) ?? [];
  return importsOf(module).flatMap((path) => {
    const there = folderOf(path);
    if (there === home) return [];
    const found: string[] = [];
    const [, other = ''] = /^packages\/router\/src\/([^/]+)$/.exec(there) ?? [];
    if (conceptFolders.has(there) && path !== `${there}/index.ts` && !isTest(module.path)) {
      found.push(`${module.path}: enters ${there} beside its index.ts (${posix.basename(path)})`);
    }
    if (isTest(module.path) || !routerConcepts.includes(concept)) return found;
    if (routerAdapters.includes(other)) found.push(`${module.path}: concept ${concept} imports adapter ${other}`);
    if (loneConcepts.has(concept) && routerConcepts.includes(other)) {
      found.push(`${module.path}: ${concept} imports concept ${other}`);
    }
    return found;
  });
}

/** What `#digest` names where there is Node; a page gets `web-digest.ts` for it (seal's package.json). */
const nodeSideOfDigest = 'packages/seal/src/digest/node-digest.ts';

/** Modules of step functions, and what these run of their own folder: a split must not let go of the rule. */
function stepModulesOf(modules: readonly ModuleFacts[]): ReadonlySet<ModuleFacts> {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const found = new Set(
    modules.filter(({ path, exportedFunctions }) => {
      return !isTest(path) && exportedFunctions.some((name) => /^step(?:[A-Z]|$)/.test(name));
    }),
  );
  for (const module of found) {
    for (const path of importsOf(module, module.valueImports)) {
      const run = byPath.get(path);
      if (run !== undefined && posix.dirname(path) === posix.dirname(module.path)) found.add(run);
    }
  }
  return found;
}

function purityOf(module: ModuleFacts, stepModules: ReadonlySet<ModuleFacts>): string[] {
  if (isTest(module.path)) return [];
  const nodeImports = module.imports.filter((name) => name.startsWith('node:'));
  const found: string[] = [];
  if (webOnlyPackages.has(packageOf(module.path)) && nodeImports.length > 0 && module.path !== nodeSideOfDigest) {
    found.push(`${module.path}: Web APIs only, but imports ${nodeImports.join(' ')}`);
  }
  const isStep = stepModules.has(module);
  if (isStep && module.isAsync) found.push(`${module.path}: a step function is synchronous`);
  if (isStep && nodeImports.length > 0)
    found.push(`${module.path}: a step function does no I/O (${nodeImports.join(' ')})`);
  return found;
}

function habitsOf(module: ModuleFacts): string[] {
  const found: string[] = [];
  if (module.suppressions.length > 0) found.push(`${module.path}: ${module.suppressions.join(' ')}`);
  if (isTest(module.path) || packageOf(module.path) === 'testkit') return found;
  if (module.hasExportStar) found.push(`${module.path}: export *`);
  const isSystemAdapter = /\/system-[^/]+\.ts$/.test(module.path);
  if (!isSystemAdapter && module.ambient.length > 0) {
    found.push(`${module.path}: ${module.ambient.join(' ')} outside a system-*.ts adapter`);
  }
  if (module.foreignThrows.length > 0)
    found.push(`${module.path}: throws ${module.foreignThrows.join(' ')}, not PamError`);
  return found;
}

/** The first cycle met from each edge of a graph, as a list of nodes; empty when there is none. */
function cycleIn(graph: ReadonlyMap<string, ReadonlySet<string>>): readonly string[] {
  const done = new Set<string>();
  const visit = (node: string, trail: readonly string[]): readonly string[] => {
    if (trail.includes(node)) return [...trail.slice(trail.indexOf(node)), node];
    if (done.has(node)) return [];
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next, [...trail, node]);
      if (cycle.length > 0) return cycle;
    }
    done.add(node);
    return [];
  };
  for (const node of graph.keys()) {
    const cycle = visit(node, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

function graphOf(modules: readonly ModuleFacts[], key: (path: string) => string): Map<string, Set<string>> {
  const graph = new Map<string, Set<string>>();
  for (const module of modules) {
    const from = key(module.path);
    const edges = graph.get(from) ?? new Set<string>();
    // Two files of one concept may know each other's types; between concepts a type is a dependency too.
    const isFile = from === module.path;
    for (const path of importsOf(module, isFile ? module.valueImports : module.imports)) {
      if (key(path) !== from || isFile) edges.add(key(path));
    }
    graph.set(from, edges);
  }
  return graph;
}

function cyclesOf(modules: readonly ModuleFacts[]): string[] {
  const sources = modules.filter(({ path }) => !isTest(path));
  const conceptSources = sources.filter(({ path }) => folderOf(path) !== '' && packageOf(path) === 'router');
  return [cycleIn(graphOf(sources, (path) => path)), cycleIn(graphOf(conceptSources, folderOf))]
    .filter((cycle) => cycle.length > 0)
    .map((cycle) => `cycle: ${cycle.join(' → ')}`);
}

/** Every breach of the package layout, one line each; empty when the layout holds. */
export function breaches(modules: readonly ModuleFacts[]): string[] {
  const stepModules = stepModulesOf(modules);
  const each = modules.flatMap((module) => [
    ...directionOf(module),
    ...foldersOf(module),
    ...purityOf(module, stepModules),
    ...habitsOf(module),
  ]);
  return [...each, ...cyclesOf(modules)];
}
