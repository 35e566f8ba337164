import { join } from 'node:path';
import { instanceIdSchema, productVersion } from '@sallyport/protocol';
import {
  type AlertEndpoint,
  type AlertKeeper,
  type alertRules,
  conditionsOfJobs,
  createAlertService,
  createAttentionDesk,
} from '../alert/index.ts';
import type { Clock } from '../clock.ts';
import type { PoolService } from '../pool/index.ts';
import type { RotationService } from '../rotation/index.ts';
import type { RouterWatch } from '../watch/index.ts';
import type { RouterLog } from './router-log.ts';
import { readIfThere, writePrivate } from './state-file.ts';
import { systemRandom } from './system-random.ts';

/** A note that somebody is needed is current this long after its last cause. */
const attentionMs = 600_000;

function alertFile(dataDir: string): AlertKeeper {
  const file = join(dataDir, 'alerts.json');
  return { read: () => readIfThere(file), write: (text) => writePrivate(file, text) };
}

/** Begins to tell the operator's webhook. @returns what stops it. */
export function startAlerts(parts: {
  readonly endpoint: AlertEndpoint;
  readonly rules: ReturnType<typeof alertRules>;
  readonly dataDir: string;
  readonly router: string;
  readonly watch: RouterWatch;
  readonly pool: PoolService;
  readonly rotation: RotationService;
  readonly clock: Clock;
  readonly log: RouterLog;
}): () => void {
  const { clock, pool, rotation, watch, log } = parts;
  const desk = createAttentionDesk(attentionMs, clock.monotonicMs);
  watch.listen((kind, body) => {
    if (kind !== 'instance.duplicate') return;
    const instance = instanceIdSchema.safeParse(body['instance']).data ?? null;
    const home = pool.list().find(({ instances }) => instances.some((each) => each.instanceId === instance));
    desk.note('instance-duplicate', { gateway: home?.gateway.uid ?? null, instance });
  });
  const service = createAlertService({
    endpoint: parts.endpoint,
    rules: parts.rules,
    router: parts.router,
    version: productVersion,
    pools: pool.list,
    attention: () => [
      ...desk.current(),
      ...conditionsOfJobs({
        counts: rotation.counts(),
        troubles: rotation.troubles(),
        stopped: rotation.scheduler().stopped,
      }),
    ],
    keeper: alertFile(parts.dataDir),
    clock,
    random: systemRandom,
    sent: watch.figures.alertSent,
    log: (level, message, fields) => log[level](message, fields),
  });
  service.start();
  // Not the URL: of many services it is a secret.
  log.info('alerts go to a webhook', {
    host: parts.endpoint.url.hostname,
    kinds: [...parts.endpoint.kinds].join(' '),
    signed: parts.endpoint.secret === null ? 'no' : 'yes',
  });
  return service.stop;
}
