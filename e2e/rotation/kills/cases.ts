import { type Call, calls, type FaultPoint } from '../fault/fault-point.ts';

type Victim = 'instance' | 'router' | 'target';
type Blow = 'kill' | 'freeze';

/** What happens at one point of a run, to one victim or to two at the same moment. */
export interface KillCase {
  readonly call: Call;
  readonly side: FaultPoint['side'];
  readonly blows: readonly (readonly [victim: Victim, blow: Blow])[];
}

const alone: readonly KillCase['blows'][] = (['instance', 'router', 'target'] as const).flatMap((victim) =>
  (['kill', 'freeze'] as const).map((blow) => [[victim, blow]] as const),
);
const pairs: readonly KillCase['blows'][] = [
  [
    ['router', 'kill'],
    ['instance', 'kill'],
  ],
  [
    ['target', 'kill'],
    ['instance', 'kill'],
  ],
  [
    ['target', 'freeze'],
    ['instance', 'freeze'],
  ],
  [
    ['router', 'freeze'],
    ['instance', 'freeze'],
  ],
  [
    ['router', 'kill'],
    ['target', 'kill'],
  ],
];

/** Every point, with every victim alone and with the pairs. */
export const allCases: readonly KillCase[] = calls.flatMap((call) =>
  (['before', 'after'] as const).flatMap((side) => [...alone, ...pairs].map((blows) => ({ call, side, blows }))),
);

export function showCase({ call, side, blows }: KillCase): string {
  return `${side} ${call}: ${blows.map(([victim, blow]) => `${blow} ${victim}`).join(' and ')}`;
}
