import { type PamError, type Right, rights } from '@sallyport/protocol';
import { type PublicJwk, thumbprint } from '../keys/ec-key.ts';
import { refusal } from '../refuse.ts';
import type { LogEntry, PersonKeys } from './entry.ts';
import { draftGrants, type LogDraft } from './state.ts';

/** An effect to carry out once the signature was verified. */
export interface Ruling {
  /** Key that must have signed the entry. */
  readonly signer: PublicJwk;
  apply(draft: LogDraft): void;
}

/**
 * Decides who may sign an entry at this point of the log and what it changes. Runs before the signature is verified;
 * nothing is applied until then.
 *
 * @throws PAM_TRUST_ENTRY_INVALID with why 'signer' (not known, removed, not this person), 'right' (the signer's
 * person lacks it), 'key' (not its thumbprint, or named before) or 'order' (does not follow from the entries before).
 */
export async function ruleOn(draft: LogDraft, entry: LogEntry, kid: string): Promise<Ruling> {
  const refuse = (why: string, problem: string): PamError =>
    refusal('PAM_TRUST_ENTRY_INVALID', why, `Entry ${entry.n} of the trust log (${entry.kind}) ${problem}.`);
  const unlessFresh = (...ids: readonly string[]): void => {
    if (new Set(ids).size !== ids.length || ids.some((id) => draft.keys.has(id))) {
      throw refuse('key', 'names a key that already has a role');
    }
  };
  const signedWith = (right: Right): PublicJwk => {
    const device = draft.devices.get(kid);
    if (device === undefined || device.removed) throw refuse('signer', 'is not signed by a device of this log');
    if (!draftGrants(draft, kid, right)) throw refuse('right', `is signed by a device without the right '${right}'`);
    return device.key;
  };
  const addPerson = async (keys: PersonKeys, granted: readonly Right[]) => {
    if (draft.persons.has(keys.uid)) throw refuse('order', 'names a person who is already in the log');
    if ([...draft.persons.values()].some((person) => person.name === keys.name)) {
      throw refuse('order', 'uses the name of another person');
    }
    const signKeyId = await thumbprint(keys.signKey);
    const boxKeyId = await thumbprint(keys.boxKey);
    unlessFresh(signKeyId, boxKeyId);
    return (to: LogDraft) => {
      to.keys.add(signKeyId).add(boxKeyId);
      to.persons.set(keys.uid, { ...keys, signKeyId, boxKeyId, rights: [...granted] });
    };
  };

  switch (entry.kind) {
    case 'genesis': {
      if (entry.n !== 0 || draft.hashes.length !== 0) throw refuse('order', 'stands elsewhere than first');
      if (kid !== (await thumbprint(entry.person.signKey))) throw refuse('signer', 'is not signed by its person');
      const recoveryId = await thumbprint(entry.recoveryKey);
      const add = await addPerson(entry.person, rights);
      unlessFresh(kid, await thumbprint(entry.person.boxKey), recoveryId);
      return {
        signer: entry.person.signKey,
        apply: (to) => {
          add(to);
          to.keys.add(recoveryId);
          to.installation = entry.installation;
          to.recoveryKey = entry.recoveryKey;
          to.routerPins = entry.routerPins;
        },
      };
    }
    case 'person': {
      const signer = signedWith('people');
      return { signer, apply: await addPerson(entry.person, entry.rights) };
    }
    case 'device': {
      const person = draft.persons.get(entry.person);
      if (person === undefined || person.signKeyId !== kid) throw refuse('signer', 'is not signed by its person');
      if ((await thumbprint(entry.device.key)) !== entry.device.id) throw refuse('key', 'names a key by a wrong id');
      unlessFresh(entry.device.id);
      return {
        signer: person.signKey,
        apply: (to) => {
          to.keys.add(entry.device.id);
          to.devices.set(entry.device.id, { ...entry.device, person: entry.person, since: entry.at, removed: false });
        },
      };
    }
    case 'device-removed': {
      const device = draft.devices.get(entry.device);
      if (device === undefined || device.removed) throw refuse('order', 'names a device that is not there');
      const owner = draft.persons.get(device.person);
      const signer = owner?.signKeyId === kid ? owner.signKey : signedWith('people');
      return { signer, apply: (to) => void to.devices.set(device.id, { ...device, removed: true }) };
    }
    case 'application': {
      const signer = signedWith('applications');
      if (draft.apps.has(entry.app)) throw refuse('order', 'names an application that is already in the log');
      const app = { uid: entry.app, removed: false, currentGen: 0, generations: new Map() };
      return { signer, apply: (to) => void to.apps.set(entry.app, app) };
    }
    case 'generation': {
      const signer = signedWith('applications');
      const app = draft.apps.get(entry.app);
      if (app === undefined || app.removed) throw refuse('order', 'names an application that is not there');
      if (entry.gen !== app.currentGen + 1) throw refuse('order', `must be generation ${app.currentGen + 1}`);
      const generations = new Map(app.generations).set(entry.gen, entry.commitments);
      return { signer, apply: (to) => void to.apps.set(app.uid, { ...app, currentGen: entry.gen, generations }) };
    }
    case 'app-removed': {
      const signer = signedWith('applications');
      const app = draft.apps.get(entry.app);
      if (app === undefined || app.removed) throw refuse('order', 'names an application that is not there');
      if ([...draft.gateways.values()].some((gateway) => gateway.app === app.uid && !gateway.removed)) {
        throw refuse('order', 'removes an application that still has a gateway');
      }
      return { signer, apply: (to) => void to.apps.set(app.uid, { ...app, removed: true }) };
    }
    case 'gateway': {
      const signer = signedWith('gateways');
      const app = draft.apps.get(entry.app);
      if (app === undefined || app.removed) throw refuse('order', 'names an application that is not there');
      if (draft.gateways.has(entry.gateway)) throw refuse('order', 'names a gateway that is already in the log');
      const signKeyId = await thumbprint(entry.signKey);
      const boxKeyId = await thumbprint(entry.boxKey);
      unlessFresh(signKeyId, boxKeyId);
      const { gateway: uid, signKey, boxKey } = entry;
      return {
        signer,
        apply: (to) => {
          to.keys.add(signKeyId).add(boxKeyId);
          to.gateways.set(uid, {
            uid,
            app: app.uid,
            signKey,
            signKeyId,
            boxKey,
            boxKeyId,
            formerSignKeys: new Map(),
            removed: false,
          });
        },
      };
    }
    case 'gateway-rekeyed': {
      const signer = signedWith('gateways');
      const gateway = draft.gateways.get(entry.gateway);
      if (gateway === undefined || gateway.removed) throw refuse('order', 'names a gateway that is not there');
      const signKeyId = await thumbprint(entry.signKey);
      const boxKeyId = await thumbprint(entry.boxKey);
      unlessFresh(signKeyId, boxKeyId);
      const { signKey, boxKey } = entry;
      return {
        signer,
        apply: (to) => {
          to.keys.add(signKeyId).add(boxKeyId);
          const formerSignKeys = new Map(gateway.formerSignKeys).set(gateway.signKeyId, gateway.signKey);
          to.gateways.set(gateway.uid, { ...gateway, signKey, signKeyId, boxKey, boxKeyId, formerSignKeys });
        },
      };
    }
    case 'gateway-removed': {
      const signer = signedWith('gateways');
      const gateway = draft.gateways.get(entry.gateway);
      if (gateway === undefined || gateway.removed) throw refuse('order', 'names a gateway that is not there');
      return { signer, apply: (to) => void to.gateways.set(gateway.uid, { ...gateway, removed: true }) };
    }
    case 'router-pin':
      return {
        signer: signedWith('router'),
        apply: (to) => {
          to.routerPins = entry.pins;
        },
      };
    default:
      return entry satisfies never;
  }
}
