import { type InstanceView, PamError } from '@sallyport/protocol';
import type { NamedGateway } from './gateway-rows.ts';

/**
 * Finds what a user means by `text`: an instance's id, the beginning of one, or its host name. Nothing is guessed.
 *
 * @throws PAM_NOT_FOUND; PAM_AMBIGUOUS naming the ids when it may mean several.
 */
export function resolveInstance(gateway: Pick<NamedGateway, 'title' | 'view'>, text: string): InstanceView {
  const { instances } = gateway.view;
  const exact = instances.filter((one) => one.instanceId === text);
  const byHost = instances.filter((one) => one.deviceName === text);
  const byStart = text === '' ? [] : instances.filter((one) => one.instanceId.startsWith(text));
  const hits = exact.length > 0 ? exact : byHost.length > 0 ? byHost : byStart;
  const [only] = hits;
  if (only === undefined) {
    throw new PamError('PAM_NOT_FOUND', `“${gateway.title}” has no instance ${text}`, {
      remedy: 'See pam gateway list -v: an instance is named by its id, the beginning of it, or its host.',
    });
  }
  if (hits.length > 1) {
    const how = byHost.length > 0 ? `run on ${text}` : `begin with ${text}`;
    const ids = hits.map((one) => one.instanceId).join(', ');
    throw new PamError('PAM_AMBIGUOUS', `${hits.length} instances ${how}: ${ids}`, {
      remedy: 'Name one of them by its id, or by more of it.',
    });
  }
  return only;
}
