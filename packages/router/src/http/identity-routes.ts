import { randomBytes } from 'node:crypto';
import {
  beginRecovery,
  beginSetup,
  beginSignIn,
  type DeviceId,
  finishRecovery,
  finishSetup,
  finishSignIn,
  getInfo,
  type Head,
  PamError,
  type PersonUid,
  protocolRange,
  signOut,
  whoAmI,
} from '@sallyport/protocol';
import { digestOf, hashSetupSecret, verifyRecoveryProof } from '@sallyport/seal';
import { checkGenesis, checkOwnDevice, newSignIn } from '../identity/index.ts';
import type { TrustLog } from '../trust/index.ts';
import { type Binding, bindCaller, bindPublic } from './call.ts';
import type { RouterParts } from './router-parts.ts';

const attemptLifeMs = 60_000;
/** OPAQUE sign-ins under way at once; each is a row for at most a minute. */
const attemptCapacity = 2_000;

function setupRefused(): PamError {
  return new PamError('PAM_SETUP_CODE_INVALID', 'the setup code is wrong, expired or used');
}

function knownHead(trust: TrustLog): Head {
  const head = trust.head();
  if (head === null) throw new PamError('PAM_ROUTER_NOT_CLAIMED', 'this router has no owner yet');
  return head;
}

/** The setup secret must be the newest one, alive, and nobody may have claimed the router. */
async function checkSetup(parts: RouterParts, secret: string, address: string): Promise<string> {
  if (parts.trust.head() !== null) throw new PamError('PAM_ROUTER_CLAIMED', 'this router already has an owner');
  parts.brakes.setupAddress.take(address);
  const secretHash = await hashSetupSecret(secret);
  if ((await parts.freshSetup()) !== secretHash) {
    parts.audit.later('setup.refused', { from: address });
    throw setupRefused();
  }
  return secretHash;
}

function signedIn(
  made: ReturnType<typeof newSignIn>,
  person: PersonUid,
  name: string,
): { accessToken: string; expiresAtMs: number; person: PersonUid; name: string } {
  return { accessToken: made.accessToken, expiresAtMs: made.signIn.expiresAtMs, person, name };
}

function setupRoutes(parts: RouterParts): Binding[] {
  const { store, trust, audit, opaque, identity, clock } = parts;
  return [
    bindPublic(beginSetup, async ({ body, address }) => {
      await checkSetup(parts, body.secret, address);
      const registrationResponse = opaque.register(opaque.credentialIdOf(body.name), body.registrationRequest);
      return { registrationResponse, routerPin: identity.pin };
    }),
    bindPublic(finishSetup, async (call) => {
      const { body, address } = call;
      const secretHash = await checkSetup(parts, body.secret, address);
      const device = await call.prove();
      const genesis = checkGenesis(body.entries, { name: body.name, pin: identity.pin });
      const person = genesis.person.uid;
      checkOwnDevice(body.entries[1], device, person);
      const nowMs = clock.nowMs();
      const made = newSignIn({ person, device, lifeMinutes: body.lifeMinutes, nowMs });
      await trust.append(body.entries, async (append) => {
        const event = audit.event('router.claimed', { person, device, from: address });
        const [, , , head] = await store.together(
          (t) =>
            [
              t.identity.claimRouter({
                secretHash,
                person: {
                  uid: person,
                  name: body.name,
                  credentialId: opaque.credentialIdOf(body.name),
                  registrationRecord: body.registrationRecord,
                  ksf: body.ksf,
                  blob: body.personBlob,
                  recoveryLookup: body.recovery.lookup,
                  recoveryBlob: body.recovery.blob,
                },
                nowMs,
              }),
              t.trust.appendEntries({ ...append, nowMs }),
              t.identity.addSignIn({ signIn: made.signIn }),
              t.audit.appendEvents(audit.note(event)),
            ] as const,
        );
        audit.moved(head);
      });
      parts.claimed();
      return signedIn(made, person, body.name);
    }),
  ];
}

function signInRoutes(parts: RouterParts): Binding[] {
  const { store, audit, opaque, clock, brakes } = parts;
  return [
    bindPublic(beginSignIn, async ({ body, address }) => {
      brakes.signInAddress.take(address);
      brakes.signInName.take(body.name.toLowerCase());
      const person = await store.identity.findPersonByName({ name: body.name });
      const { serverState, loginResponse } = opaque.begin({
        credentialId: person?.credentialId ?? opaque.credentialIdOf(body.name),
        record: person?.registrationRecord ?? null,
        startLoginRequest: body.startLoginRequest,
      });
      const nowMs = clock.nowMs();
      const attempt = randomBytes(16).toString('base64url');
      const expiresAtMs = nowMs + attemptLifeMs;
      await store.identity.addAttempt({
        attempt: { id: attempt, person: person?.uid ?? null, serverState, expiresAtMs },
        capacity: attemptCapacity,
        nowMs,
      });
      audit.later('sign-in.begun', { attempt, person: person?.uid ?? null, from: address });
      return { attempt, loginResponse, ksf: 1 as const };
    }),
    bindPublic(finishSignIn, async (call) => {
      const { body, address } = call;
      const device = await call.prove();
      const nowMs = clock.nowMs();
      const attempt = await store.identity.takeAttempt({ id: body.attempt, nowMs });
      const proved = attempt !== null && opaque.finish(attempt.serverState, body.finishLoginRequest);
      const person = attempt?.person ? await store.identity.findPerson({ uid: attempt.person }) : null;
      if (!proved || person === null) {
        audit.later('sign-in.failed', { attempt: body.attempt, person: person?.uid ?? null, from: address });
        throw new PamError('PAM_SIGN_IN_FAILED', 'name or password is wrong');
      }
      const made = newSignIn({ person: person.uid, device, lifeMinutes: body.lifeMinutes, nowMs });
      const event = audit.event('sign-in', { attempt: body.attempt, person: person.uid, device, from: address });
      const [, head] = await store.together(
        (t) => [t.identity.addSignIn({ signIn: made.signIn }), t.audit.appendEvents(audit.note(event))] as const,
      );
      audit.moved(head);
      return { ...signedIn(made, person.uid, person.name), personBlob: person.blob };
    }),
    bindCaller(signOut, async ({ caller }) => {
      const event = audit.event('sign-out', { person: caller.person, device: caller.device });
      const [, head] = await store.together(
        (t) =>
          [t.identity.removeSignIn({ tokenHash: caller.tokenHash }), t.audit.appendEvents(audit.note(event))] as const,
      );
      audit.moved(head);
      return {};
    }),
    bindCaller(whoAmI, async ({ caller }) => {
      const person = await store.identity.findPerson({ uid: caller.person });
      if (person === null) throw new PamError('PAM_NOT_SIGNED_IN', 'the person of this sign-in does not exist');
      return {
        person: caller.person,
        name: person.name,
        device: caller.device,
        deviceInLog: caller.inLog,
        expiresAtMs: caller.expiresAtMs,
      };
    }),
  ];
}

function recoveryRoutes(parts: RouterParts): Binding[] {
  const { store, trust, audit, opaque, clock, brakes } = parts;

  async function ownerOf(lookup: string, address: string): Promise<{ person: PersonUid; name: string; blob: string }> {
    brakes.recoveryAddress.take(address);
    brakes.recoveryCode.take(lookup);
    const person = await store.identity.findPersonByRecovery({ lookup });
    if (person === null) {
      audit.later('recovery.refused', { from: address });
      throw new PamError('PAM_RECOVERY_FAILED', 'the recovery code is wrong or was used');
    }
    return { person: person.uid, name: person.name, blob: person.recoveryBlob };
  }
  async function checkProof(raw: unknown, proof: string, lookup: string, person: PersonUid): Promise<void> {
    const signKey = trust.state().persons.get(person)?.signKey;
    if (signKey === undefined) throw new PamError('PAM_RECOVERY_FAILED', 'the person is not in the trust log');
    const { proof: _proof, ...rest } = raw as Record<string, unknown>;
    await verifyRecoveryProof(proof, signKey, { lookup, digest: await digestOf(rest) });
  }

  return [
    bindPublic(beginRecovery, async ({ body, address }) => {
      const owner = await ownerOf(body.lookup, address);
      const registrationResponse = opaque.register(opaque.credentialIdOf(owner.name), body.registrationRequest);
      return { ...owner, registrationResponse, head: knownHead(trust) };
    }),
    bindPublic(finishRecovery, async (call) => {
      const { body, address } = call;
      const device: DeviceId = await call.prove();
      const { person, name } = await ownerOf(body.lookup, address);
      await checkProof(call.raw, body.proof, body.lookup, person);
      checkOwnDevice(body.entry, device, person);
      const nowMs = clock.nowMs();
      const made = newSignIn({ person, device, lifeMinutes: body.lifeMinutes, nowMs });
      await trust.append([body.entry], async (append) => {
        const event = audit.event('recovery', { person, device, from: address });
        const [, , , head] = await store.together(
          (t) =>
            [
              t.identity.recoverPerson({
                lookup: body.lookup,
                registrationRecord: body.registrationRecord,
                ksf: body.ksf,
                blob: body.personBlob,
                newLookup: body.recovery.lookup,
                newBlob: body.recovery.blob,
                nowMs,
              }),
              t.trust.appendEntries({ ...append, nowMs }),
              t.identity.addSignIn({ signIn: made.signIn }),
              t.audit.appendEvents(audit.note(event)),
            ] as const,
        );
        audit.moved(head);
      });
      return signedIn(made, person, name);
    }),
  ];
}

/** Info, setup, sign-in, sign-out and recovery. */
export function identityRoutes(parts: RouterParts): Binding[] {
  return [
    bindPublic(getInfo, async () => ({
      product: 'sallyport' as const,
      version: parts.version,
      protocol: protocolRange,
      claimed: parts.trust.head() !== null,
      timeMs: parts.clock.nowMs(),
    })),
    ...setupRoutes(parts),
    ...signInRoutes(parts),
    ...recoveryRoutes(parts),
  ];
}
