import { expect, test } from 'vitest';
import { createRouterFigures } from './router-figures.ts';
import { systemUsage } from './system-usage.ts';

test('scripts and services after a rotation are counted by how they ended, without a name', () => {
  const figures = createRouterFigures();
  const none = { done: 0, failed: 0, unknown: 0, skipped: 0 };
  const after = { scripts: { ...none, done: 2, failed: 1 }, services: { ...none, unknown: 1 } };
  figures.jobEnded({ kind: 'rotate', state: 'done', after });
  figures.jobEnded({ kind: 'rotate', state: 'done', after: null });
  const usage = systemUsage();
  const text = figures.text({
    ...{ usage, reasons: [], pools: [], relay: null, carriers: null, apiConnections: 0, jobs: [] },
    troubles: [{ gateway: null, what: 'missed', count: 2 }],
    ...{ links: { members: 0, strangers: 0 }, waiting: { audit: 0, streams: 0 }, schedulesStopped: false },
  });
  usage.close();
  expect(text).toContain('sallyport_rotation_troubles{gateway="none",what="missed"} 2\n');
  expect(text).toContain('sallyport_jobs_ended_total{kind="rotate",state="done"} 2\n');
  expect(text.match(/^sallyport_after_rotation_total.*$/gm)?.toSorted()).toEqual([
    'sallyport_after_rotation_total{what="script",outcome="done"} 2',
    'sallyport_after_rotation_total{what="script",outcome="failed"} 1',
    'sallyport_after_rotation_total{what="service",outcome="unknown"} 1',
  ]);
});
