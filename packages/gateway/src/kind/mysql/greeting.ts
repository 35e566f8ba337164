import { malformed, PacketFields } from './packet-fields.ts';

/** Capability flags of the protocol, those that we speak. */
const protocol41 = 0x200;
const ssl = 0x800;
const transactions = 0x2000;
const secureConnection = 0x8000;
const pluginAuth = 0x8_0000;
const longFlag = 0x4;
/** Marks a client of MySQL's; MariaDB's own extensions are not used. */
const longPassword = 0x1;
const lengthOfAuth = 0x20_0000;

/** What every server that we can talk to has. LOCAL INFILE and several statements at once are never among them. */
const needed = protocol41 | secureConnection | pluginAuth;
const spoken = needed | longPassword | longFlag | transactions | lengthOfAuth;

const protocolVersion = 10;
const utf8mb4 = 45;
const longestPacket = 0x100_0000;
const challengeBytes = 20;
const reserved = 10;
const firstPart = 8;

export interface Greeting {
  readonly version: string;
  readonly isMariaDb: boolean;
  readonly hasTls: boolean;
  /** 20 bytes. */
  readonly challenge: Buffer;
  readonly plugin: string;
}

/** Reads the first packet of a server, which is no error. @throws PAM_TARGET_RESET */
export function readGreeting(payload: Buffer): Greeting {
  const fields = new PacketFields(payload);
  if (fields.integer(1) !== protocolVersion) throw malformed();
  const version = fields.zeroEnded().toString('latin1');
  fields.integer(4); // number of the connection
  const first = fields.bytes(firstPart);
  fields.integer(1);
  const low = fields.integer(2);
  fields.integer(1); // character set
  fields.integer(2); // status
  const capabilities = low + fields.integer(2) * 0x1_0000;
  if ((capabilities & needed) !== needed) throw malformed();
  fields.integer(1); // length of the challenge: it is 20 with all that we need
  fields.bytes(reserved);
  const challenge = Buffer.concat([first, fields.bytes(challengeBytes - firstPart)]);
  fields.integer(1);
  const plugin = fields.zeroEnded().toString('latin1');
  return {
    version,
    isMariaDb: version.includes('MariaDB'),
    hasTls: (capabilities & ssl) !== 0,
    challenge,
    plugin,
  };
}

function head(capabilities: number): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(capabilities, 0);
  bytes.writeUInt32LE(longestPacket, 4);
  bytes[8] = utf8mb4;
  return bytes;
}

/** Asks for TLS; the handshake begins behind it. */
export const tlsRequest = (): Buffer => head(spoken | ssl);

/** Says who logs in. `answer` is that of `plugin` to the challenge, at most 250 bytes. */
export function loginRequest(user: string, plugin: string, answer: Buffer, isTls: boolean): Buffer {
  return Buffer.concat([
    head(isTls ? spoken | ssl : spoken),
    Buffer.from(`${user}\0`, 'utf8'),
    Buffer.from([answer.byteLength]),
    answer,
    Buffer.from(`${plugin}\0`, 'latin1'),
  ]);
}
