import { describe, expect, test } from 'vitest';
import { defaultTiming } from '../../src/pool/timing.ts';
import { instanceId } from '../store/samples.ts';
import { World } from './world.ts';

/**
 * The table of section 4: every event against every column. Each cell prepares an instance `x` in that column, in a
 * pool of one slot, lets the event happen, and says what became of it. `w` is a standby that waits, where one is needed.
 */
type Column = 'joining' | 'standby' | 'slot' | 'slot, drain';
const columns: readonly Column[] = ['joining', 'standby', 'slot', 'slot, drain'];
const { suspectMs, cutMs, reserveMs, unwantedMs, graceMs, promoteMs } = defaultTiming;
const deadlineAtMs = Date.UTC(2026, 0, 3);
const drain = { kind: 'drain', by: 'operator', deadlineAtMs } as const;

interface Prepared {
  readonly world: World;
  /** Link of `x`. */
  readonly link: string;
  /** Links of all others. */
  readonly others: readonly string[];
}

function prepare(column: Column, options: { readonly waiting?: boolean } = {}): Prepared {
  const world = new World(1);
  const others: string[] = [];
  if (column === 'standby') others.push(world.hello('holder'));
  if (column === 'joining') world.hold = true;
  const link = world.hello('x');
  if (column === 'slot, drain') world.intent('x', drain);
  if (options.waiting === true) others.push(world.hello('w'));
  world.told.length = 0;
  world.intended.length = 0;
  return { world, link, others };
}

/** What `x` is now: its row in the store, and its health when it has a slot. */
function shown({ world }: Prepared): string {
  const row = world.row('x');
  const health = world.member('x')?.health;
  return row.startsWith('slot') ? `${row}, ${health ?? 'unknown'}` : row;
}

interface Row {
  readonly event: string;
  readonly waiting?: boolean;
  readonly happens: (cell: Prepared, column: Column) => string;
  readonly becomes: Readonly<Record<Column, string>>;
}

const codeOf = (work: () => void): string => {
  try {
    work();
    return '';
  } catch (reason) {
    return reason instanceof Error && 'code' in reason ? `refused ${String(reason.code)}` : 'refused';
  }
};

const rows: readonly Row[] = [
  {
    event: 'hello proved',
    happens: (cell) => {
      const { world } = cell;
      world.hold = false;
      world.releaseAll();
      if (world.answers.has(cell.link)) world.feed({ kind: 'closed', link: cell.link });
      const before = world.member('x')?.row;
      const link = world.hello('x');
      const answer = world.answers.get(link);
      const same = before?.seq === world.member('x')?.row.seq && before?.epoch === world.member('x')?.row.epoch;
      const told = answer?.kind === 'welcome' && answer.intent.kind === 'drain' ? ', told the deadline' : '';
      return `${shown(cell)}${same ? ', same place' : ''}${told}`;
    },
    becomes: {
      joining: 'slot, ok, same place',
      standby: 'standby, same place',
      slot: 'slot, ok, same place',
      'slot, drain': 'slot drain, ok, same place, told the deadline',
    },
  },
  {
    event: 'hello while the pool is full and --no-standby',
    happens: ({ world }, column) => {
      if (column !== 'joining') return 'not asked';
      world.hold = false;
      world.hello('holder');
      world.held.length = 0;
      const answer = world.answers.get(world.hello('x2', { noStandby: true }));
      return answer?.kind === 'welcome' ? answer.outcome.kind : 'nothing';
    },
    becomes: { joining: 'full', standby: 'not asked', slot: 'not asked', 'slot, drain': 'not asked' },
  },
  {
    event: 'hello while a live link has the identity, which answers within S',
    happens: (cell) => {
      const { world } = cell;
      world.hold = false;
      world.releaseAll();
      const newcomer = world.hello('x');
      world.run(suspectMs / 2);
      world.beat(cell.link);
      const answer = world.answers.get(newcomer);
      return `${answer?.kind === 'refuse' ? `newcomer refused, kept ${String(answer.kept === cell.link)}` : 'taken'}; ${shown(cell)}`;
    },
    becomes: {
      joining: 'newcomer refused, kept true; slot, ok',
      standby: 'newcomer refused, kept true; standby',
      slot: 'newcomer refused, kept true; slot, ok',
      'slot, drain': 'newcomer refused, kept true; slot drain, ok',
    },
  },
  {
    event: 'hello while a live link has the identity, which is silent for S',
    happens: (cell) => {
      const { world } = cell;
      world.hold = false;
      world.releaseAll();
      const newcomer = world.hello('x');
      world.live(suspectMs + 100, cell.others);
      const taken = world.member('x')?.link?.id === newcomer;
      const cut = world.cuts.some(({ link, why }) => link === cell.link && why === 'taken-over');
      return `${taken && cut ? 'newcomer took over' : 'refused'}; ${shown(cell)}`;
    },
    becomes: {
      joining: 'newcomer took over; slot, ok',
      standby: 'newcomer took over; standby',
      slot: 'newcomer took over; slot, ok',
      'slot, drain': 'newcomer took over; slot drain, ok',
    },
  },
  {
    event: 'link closed, no bye, nobody waits',
    happens: (cell, column) => {
      const { world } = cell;
      world.feed({ kind: 'closed', link: cell.link });
      if (column === 'joining') world.releaseAll();
      world.live(reserveMs - 100, cell.others);
      const soon = shown(cell);
      world.live(200, cell.others);
      return `${soon}; after RJ ${shown(cell)}`;
    },
    becomes: {
      // Its admission was under way: what the store decided stands until the reserve is over.
      joining: 'slot, absent; after RJ slot, absent',
      standby: 'standby; after RJ gone',
      slot: 'slot, absent; after RJ slot, absent',
      'slot, drain': 'slot drain, absent; after RJ slot drain, absent',
    },
  },
  {
    event: 'silent S',
    happens: (cell) => {
      cell.world.live(suspectMs + 50, cell.others);
      return shown(cell);
    },
    becomes: { joining: 'gone', standby: 'standby', slot: 'slot, suspect', 'slot, drain': 'slot drain, suspect' },
  },
  {
    event: 'silent G',
    waiting: true,
    happens: (cell) => {
      cell.world.live(cutMs + 200, cell.others);
      const cut = cell.world.cuts.some(({ link, why }) => link === cell.link && why === 'silent');
      return `${cut ? 'cut' : 'not cut'}; ${shown(cell)}`;
    },
    becomes: {
      joining: 'not cut; gone',
      standby: 'cut; gone',
      // absent(now − RJ): somebody waits, so the slot goes at once.
      slot: 'cut; gone displaced',
      'slot, drain': 'cut; gone displaced',
    },
  },
  {
    event: 'hedge fired on it',
    happens: (cell) => {
      const epoch = cell.world.member('x')?.row.epoch ?? 0;
      cell.world.feed({ kind: 'hedged', gateway: cell.world.gateway, instance: instanceId('x'), epoch });
      return shown(cell);
    },
    becomes: { joining: 'gone', standby: 'standby', slot: 'slot, suspect', 'slot, drain': 'slot drain, suspect' },
  },
  {
    event: 'two beats on time',
    happens: (cell) => {
      const { world } = cell;
      world.live(suspectMs + 50, cell.others);
      world.beat(cell.link);
      world.run(200);
      world.beat(cell.link);
      const first = world.member('x')?.health;
      world.run(200);
      world.beat(cell.link);
      return `${first ?? 'none'}, then ${shown(cell)}`;
    },
    becomes: {
      joining: 'none, then gone',
      standby: 'ok, then standby',
      slot: 'ok, then slot, ok',
      'slot, drain': 'ok, then slot drain, ok',
    },
  },
  {
    event: 'absent over RJ while somebody waits; it returns',
    waiting: true,
    happens: (cell, column) => {
      const { world, others } = cell;
      if (column === 'joining') {
        world.hold = false;
        world.releaseAll();
      }
      world.feed({ kind: 'closed', link: cell.link });
      world.live(reserveMs + 100, others);
      const there = shown(cell);
      const link = world.hello('x');
      const answer = world.answers.get(link);
      const back =
        answer?.kind === 'welcome' && answer.outcome.kind === 'standby' ? `standby ${answer.outcome.position}` : 'slot';
      return `${there}; returns as ${back}`;
    },
    becomes: {
      joining: 'gone displaced; returns as standby 1',
      standby: 'gone; returns as standby 2',
      slot: 'gone displaced; returns as standby 1',
      'slot, drain': 'gone displaced; returns as standby 1',
    },
  },
  {
    event: 'a promotion that is not acknowledged in 1 s',
    waiting: true,
    happens: (cell, column) => {
      const { world } = cell;
      if (column !== 'standby') return 'not asked';
      const [holder = ''] = cell.others;
      world.bye('holder', holder, 'stopped');
      const promoted = shown(cell);
      const picked = world.route().instance;
      world.live(promoteMs + 100, [cell.link, ...cell.others]);
      return `${promoted}, picked ${picked ?? 'nobody'}; then ${shown(cell)}, next ${world.slots().join()}`;
    },
    becomes: {
      joining: 'not asked',
      standby: 'slot, ok, picked nobody; then standby, next w',
      slot: 'not asked',
      'slot, drain': 'not asked',
    },
  },
  {
    event: 'absent over L',
    happens: (cell, column) => {
      const { world, others } = cell;
      if (column === 'joining') world.releaseAll();
      world.feed({ kind: 'closed', link: cell.link });
      world.hold = false;
      world.live(unwantedMs + 200, others);
      return `${shown(cell)}${world.lost.includes(instanceId('x')) ? ', sessions lost' : ''}`;
    },
    becomes: {
      joining: 'gone, sessions lost',
      standby: 'gone',
      slot: 'gone, sessions lost',
      'slot, drain': 'gone, sessions lost',
    },
  },
  {
    event: 'slot freed or maximum raised',
    happens: (cell) => {
      cell.world.setMaximum(2);
      return shown(cell);
    },
    becomes: { joining: 'gone', standby: 'slot, ok', slot: 'slot, ok', 'slot, drain': 'slot drain, ok' },
  },
  {
    event: 'maximum lowered',
    happens: (cell, column) => {
      cell.world.setMaximum(3);
      if (column === 'joining') cell.world.releaseAll();
      cell.world.hold = false;
      cell.world.hello('y');
      cell.world.setMaximum(1);
      return shown(cell);
    },
    becomes: { joining: 'slot, ok', standby: 'slot, ok', slot: 'slot, ok', 'slot, drain': 'slot drain, ok' },
  },
  {
    event: 'maximum lowered with --drain-surplus, x has the fewest streams',
    happens: (cell, column) => {
      const { world } = cell;
      world.setMaximum(3);
      if (column === 'joining') world.releaseAll();
      world.hold = false;
      world.hello('y');
      world.intended.length = 0;
      const drained = world.drainSurplus(1, { holder: 2, y: 1 }, deadlineAtMs - 1);
      const intent = world.member('x')?.row.intent;
      const deadline = intent?.kind === 'drain' ? intent.deadlineAtMs - deadlineAtMs : 'none';
      const told = world.intended.filter(({ link }) => link === cell.link).length;
      return `${shown(cell)}, deadline ${deadline}, told ${told}, drained ${drained.join(' ')}`;
    },
    becomes: {
      joining: 'slot drain, ok, deadline -1, told 1, drained x',
      standby: 'slot drain, ok, deadline -1, told 1, drained x y',
      slot: 'slot drain, ok, deadline -1, told 1, drained x',
      // It is on its way already, and its own deadline holds.
      'slot, drain': 'slot drain, ok, deadline 0, told 0, drained ',
    },
  },
  {
    event: 'drain for a replacement while somebody waits',
    waiting: true,
    happens: (cell) => {
      const { world } = cell;
      const refused = codeOf(() => world.intent('x', { ...drain, replace: true }));
      if (refused !== '') return refused;
      return `${shown(cell)}; slots ${world.slots().join(' ')}`;
    },
    becomes: {
      joining: 'refused PAM_NOT_FOUND',
      standby: 'gone; slots holder',
      slot: 'slot drain, ok; slots x w',
      'slot, drain': 'slot drain, ok; slots x w',
    },
  },
  {
    event: 'cordon, then uncordon',
    happens: (cell) => {
      const { world } = cell;
      const refused = codeOf(() => world.intent('x', { kind: 'cordon' }));
      if (refused !== '') return refused;
      const cordoned = shown(cell);
      if (world.row('x').startsWith('standby')) {
        world.setMaximum(2);
        expect(world.row('x')).toBe('standby cordon');
      }
      world.intent('x', { kind: 'serve' });
      return `${cordoned}; ${shown(cell)}`;
    },
    becomes: {
      joining: 'refused PAM_NOT_FOUND',
      standby: 'standby cordon; slot, ok',
      slot: 'slot cordon, ok; slot, ok',
      'slot, drain': 'refused PAM_CONFLICT',
    },
  },
  {
    event: 'drain',
    happens: (cell) => {
      const { world } = cell;
      const earlier = { ...drain, deadlineAtMs: deadlineAtMs - 1 };
      const refused = codeOf(() => world.intent('x', earlier));
      if (refused !== '') return refused;
      const row = world.member('x')?.row.intent;
      const deadline = row?.kind === 'drain' ? `, deadline ${row.deadlineAtMs - deadlineAtMs}` : '';
      return `${shown(cell)}${deadline}, told ${world.intended.length}, cut ${world.cuts.length}`;
    },
    becomes: {
      joining: 'refused PAM_NOT_FOUND',
      standby: 'gone, told 1, cut 1',
      slot: 'slot drain, ok, deadline -1, told 1, cut 0',
      'slot, drain': 'slot drain, ok, deadline -1, told 1, cut 0',
    },
  },
  {
    event: 'bye',
    happens: (cell, column) => {
      const { world } = cell;
      world.bye('x', cell.link, column === 'slot, drain' ? 'drained' : 'stopped');
      world.feed({ kind: 'closed', link: cell.link });
      if (column === 'joining') world.releaseAll();
      return `${shown(cell)}; slots ${world.slots().length}`;
    },
    becomes: {
      // The link closed while its admission was under way: the place is kept for the reserve.
      joining: 'slot, absent; slots 1',
      standby: 'gone; slots 1',
      slot: 'gone; slots 0',
      'slot, drain': 'gone; slots 0',
    },
  },
  {
    event: 'gateway revoked',
    happens: (cell, column) => {
      const { world } = cell;
      world.call('removeGateway', { uid: world.gateway, nowMs: world.wallMs() });
      world.feed({ kind: 'removed', gateway: world.gateway });
      world.releaseAll();
      const cut = world.cuts.some(({ link, why }) => link === cell.link && why === 'revoked');
      return `${shown(cell)}, ${column === 'joining' || cut ? 'cut' : 'not cut'}, pools ${world.state.pools.size}`;
    },
    becomes: {
      joining: 'gone, cut, pools 0',
      standby: 'gone, cut, pools 0',
      slot: 'gone, cut, pools 0',
      'slot, drain': 'gone, cut, pools 0',
    },
  },
  {
    event: 'this router starts, somebody waits',
    waiting: true,
    happens: (cell) => {
      const { world } = cell;
      world.startRouter();
      world.hold = false;
      const waiting = world.hello('w');
      const start = shown(cell);
      world.live(graceMs - 100, [waiting]);
      const kept = shown(cell);
      world.live(300, [waiting]);
      return `${start}; ${kept}; after RG ${shown(cell)}`;
    },
    becomes: {
      joining: 'gone; gone; after RG gone',
      standby: 'standby; standby; after RG gone',
      slot: 'slot, absent; slot, absent; after RG gone displaced',
      'slot, drain': 'slot drain, absent; slot drain, absent; after RG gone displaced',
    },
  },
];

const cells = rows.flatMap((row) => columns.map((column) => ({ row, column, event: row.event })));

describe('the table of section 4', () => {
  test.each(cells)('$event × $column', ({ row, column }) => {
    const cell = prepare(column, row.waiting === true ? { waiting: true } : {});
    expect(row.happens(cell, column)).toBe(row.becomes[column]);
  });

  test('has no column without a row and no row without a cell', () => {
    expect(cells).toHaveLength(rows.length * columns.length);
    for (const row of rows) expect(Object.keys(row.becomes)).toEqual(columns);
  });
});
