/** AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 5758 section 3.2). */
const ecdsaWithSha256 = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/**
 * Whether what surrounds the signed part of a certificate is exact DER: two outer lengths, the algorithm, a BIT STRING
 * without unused bits that holds one SEQUENCE. Parsers are lax there, and the signature does not cover it, so the same
 * certificate would have many spellings.
 */
export function hasExactFraming(der: Uint8Array): boolean {
  const at = (index: number): number => der[index] ?? -1;
  const longSequence = (start: number): number =>
    at(start) === 0x30 && at(start + 1) === 0x82 ? at(start + 2) * 256 + at(start + 3) : -1;
  const signedLength = longSequence(4);
  if (longSequence(0) !== der.length - 4 || signedLength < 256) return false;
  const tail = der.subarray(8 + signedLength);
  const signature = tail.subarray(ecdsaWithSha256.length);
  return (
    ecdsaWithSha256.every((byte, index) => tail[index] === byte) &&
    signature[0] === 0x03 &&
    signature[1] === signature.length - 2 &&
    signature[2] === 0 &&
    signature[3] === 0x30 &&
    signature[4] === signature.length - 5
  );
}
