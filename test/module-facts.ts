import { parseAst } from 'rolldown/parseAst';

/** What one module does that the rules of `architecture-rules.ts` ask about. Paths are relative to the checkout. */
export interface ModuleFacts {
  readonly path: string;
  /** Specifiers as written: static, re-exported, dynamic and type-only imports alike. */
  readonly imports: readonly string[];
  /** Those of them that are still there when types are stripped. */
  readonly valueImports: readonly string[];
  readonly hasExportStar: boolean;
  /** Names of functions it exports. */
  readonly exportedFunctions: readonly string[];
  /** `async` or `await` anywhere. */
  readonly isAsync: boolean;
  /** Reads of time and chance, timers: `Date.now`, `new Date()`, `Math.random`, `setTimeout` and its like. */
  readonly ambient: readonly string[];
  /** `throw new X` for an X other than PamError. */
  readonly foreignThrows: readonly string[];
  /** Comments that silence a tool, or put work off. */
  readonly suppressions: readonly string[];
}

interface SyntaxNode {
  readonly type: string;
  readonly [key: string]: unknown;
}

const timers = new Set(['setTimeout', 'setInterval']);
const ambientMembers = new Set(['Date.now', 'Math.random', 'performance.now', 'globalThis.setTimeout']);
/** Ours, and the one commander asks its argument parsers to throw. */
const ownThrows = new Set(['PamError', 'InvalidArgumentError']);
const silencer = /@ts-ignore|@ts-expect-error|@ts-nocheck|(?:oxlint|eslint)-disable|biome-ignore|\b(?:TODO|FIXME)\b/g;

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

function* nodesOf(value: unknown): Generator<SyntaxNode> {
  if (Array.isArray(value)) {
    for (const item of value) yield* nodesOf(item);
  } else if (isNode(value)) {
    yield value;
    for (const child of Object.values(value)) yield* nodesOf(child);
  }
}

function nameOf(value: unknown): string {
  if (!isNode(value)) return '';
  if (value.type === 'Identifier') return String(value['name']);
  if (value.type === 'MemberExpression') return `${nameOf(value['object'])}.${nameOf(value['property'])}`;
  return '';
}

function specifierOf(node: SyntaxNode): string | undefined {
  if (!/^(Import|Export.*)Declaration$|^ImportExpression$|^TSImportType$/.test(node.type)) return undefined;
  const source = node['source'] ?? node['argument'];
  return isNode(source) && typeof source['value'] === 'string' ? source['value'] : undefined;
}

function valueSpecifierOf(node: SyntaxNode): string | undefined {
  const isType = node.type === 'TSImportType' || node['importKind'] === 'type' || node['exportKind'] === 'type';
  const parts = Array.isArray(node['specifiers']) ? node['specifiers'].filter(isNode) : [];
  const isAllTypes =
    parts.length > 0 && parts.every((part) => part['importKind'] === 'type' || part['exportKind'] === 'type');
  return isType || isAllTypes ? undefined : specifierOf(node);
}

function exportedFunction(node: SyntaxNode): string | undefined {
  const declaration = node['declaration'];
  if (node.type !== 'ExportNamedDeclaration' || !isNode(declaration)) return undefined;
  return declaration.type === 'FunctionDeclaration' ? nameOf(declaration['id']) : undefined;
}

function ambientUse(node: SyntaxNode): string | undefined {
  if (node.type === 'CallExpression') {
    const name = nameOf(node['callee']);
    return timers.has(name) || ambientMembers.has(name) ? name : undefined;
  }
  const isNow = node.type === 'NewExpression' && nameOf(node['callee']) === 'Date';
  return isNow && Array.isArray(node['arguments']) && node['arguments'].length === 0 ? 'new Date()' : undefined;
}

function foreignThrow(node: SyntaxNode): string | undefined {
  const thrown = node['argument'];
  if (node.type !== 'ThrowStatement' || !isNode(thrown) || thrown.type !== 'NewExpression') return undefined;
  const name = nameOf(thrown['callee']);
  return ownThrows.has(name) ? undefined : name;
}

/** Reads one module's syntax. Throws when it does not parse. */
export function readModule(path: string, source: string): ModuleFacts {
  const nodes = [...nodesOf(parseAst(source, { lang: path.endsWith('.ts') ? 'ts' : 'js' }))];
  const collect = (pick: (node: SyntaxNode) => string | undefined): string[] =>
    nodes.map(pick).filter((found) => found !== undefined);
  return {
    path,
    imports: collect(specifierOf),
    valueImports: collect(valueSpecifierOf),
    hasExportStar: nodes.some(({ type }) => type === 'ExportAllDeclaration'),
    exportedFunctions: collect(exportedFunction),
    isAsync: nodes.some((node) => node.type === 'AwaitExpression' || node['async'] === true),
    ambient: collect(ambientUse),
    foreignThrows: collect(foreignThrow),
    suppressions: source.match(silencer) ?? [],
  };
}
