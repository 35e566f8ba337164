import { PamError } from '@sallyport/protocol';
import { fences, type TargetKind } from '@sallyport/rotation';
import { z } from 'zod';

const fence = z.enum(fences).nullable();
const text = (most: number) => z.string().min(1).max(most);
/** What the router is told of a kind has the same bounds (protocol, `kindDescriptionSchema`). */
const descriptionSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z\d][a-z\d-]{0,39}$/),
    title: text(128),
    fence: z.strictObject({ admin: fence, own: fence }),
    changes: z.enum(['password', 'ssh-key']),
    triedAgainst: text(256).nullable(),
    untried: text(512).nullable(),
    ownCaveat: z.string().max(512),
  })
  .refine((it) => (it.triedAgainst === null) !== (it.untried === null), 'say triedAgainst, or why not in untried');

const functions = ['serves', 'limits', 'connect', 'probe', 'accountName'] as const;

/** Names of packages, never a path or a URL: what is loaded was installed by whoever runs the gateway. */
const packageName = /^(?:@[a-z\d][\w.-]*\/)?[a-z\d][\w.-]*$/;

type LoadModule = (name: string) => Promise<unknown>;
const importModule: LoadModule = (name) => import(name);

const invalid = (name: string, why: string, cause?: unknown): PamError =>
  new PamError('PAM_CONFIG_INVALID', `the plug-in ${name} ${why}`, { detail: { plugin: name }, cause });

function isKind(value: unknown): value is TargetKind {
  if (typeof value !== 'object' || value === null) return false;
  const members = new Map<string, unknown>(functions.map((name) => [name, Reflect.get(value, name)]));
  return functions.every((name) => typeof members.get(name) === 'function');
}

async function loadKind(name: string, load: LoadModule): Promise<TargetKind> {
  if (!packageName.test(name)) throw invalid(name.slice(0, 64), 'is not named like a package');
  let loaded: unknown;
  try {
    loaded = await load(name);
  } catch (reason) {
    throw invalid(name, 'cannot be loaded; install its package beside the gateway', reason);
  }
  const kind: unknown = typeof loaded === 'object' && loaded !== null ? Reflect.get(loaded, 'default') : undefined;
  if (!isKind(kind)) throw invalid(name, `has no target kind as its default export (${functions.join(', ')})`);
  const described = descriptionSchema.safeParse(kind.description);
  if (described.success) return kind;
  const issue = described.error.issues[0];
  throw invalid(name, `describes itself wrongly: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
}

/**
 * Kinds from packages named by `--plugin` and SALLYPORT_PLUGINS, before those in the tree: the first that serves a record
 * is taken. A plug-in runs inside the gateway and sees the secrets it changes: it is trusted like the gateway itself.
 *
 * @throws PAM_CONFIG_INVALID when one cannot be loaded, is no target kind, or has the name of another.
 */
export async function loadKinds(
  plugins: readonly string[],
  inTree: readonly TargetKind[],
  load: LoadModule = importModule,
): Promise<readonly TargetKind[]> {
  const kinds: TargetKind[] = [];
  for (const plugin of plugins) {
    const kind = await loadKind(plugin, load);
    const { name } = kind.description;
    if ([...kinds, ...inTree].some(({ description }) => description.name === name)) {
      throw invalid(plugin, `is named ${name}, as another target kind`);
    }
    kinds.push(kind);
  }
  return [...kinds, ...inTree];
}
