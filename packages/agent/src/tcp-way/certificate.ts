import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

/** For TLS, in PEM. */
export interface ServerCertificate {
  readonly key: string;
  readonly cert: string;
}

// ITU-T X.690: a tag, a length, what is inside.
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
const VERSION = 0xa0;

/** 1.2.840.10045.4.3.2, ecdsa-with-SHA256 (RFC 5758). */
const ECDSA_WITH_SHA256 = "2a8648ce3d040302";
/** 2.5.4.3, commonName. */
const COMMON_NAME = "550403";
const SERIAL_BYTES = 16;

/**
 * A certificate that says nothing and is signed by its own new key (RFC 5280, version 3, P-256): firewalls let TLS pass, and what is
 * inside is encrypted and authenticated by itself. Valid at any time, because clocks are wrong sometimes and nobody checks.
 */
export function selfSignedCertificate(): ServerCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = der(SEQUENCE, der(OBJECT_IDENTIFIER, Buffer.from(ECDSA_WITH_SHA256, "hex")));
  const commonName = der(SEQUENCE, der(OBJECT_IDENTIFIER, Buffer.from(COMMON_NAME, "hex")), der(UTF8_STRING, Buffer.from("localhost")));
  const name = der(SEQUENCE, der(SET, commonName));
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive, and as short as it can be
  // 9999-12-31: "no well-defined expiration date" (RFC 5280, section 4.1.2.5).
  const validity = der(SEQUENCE, time("20000101000000Z"), time("99991231235959Z"));
  const publicKeyInfo = publicKey.export({ type: "spki", format: "der" });
  const version3 = der(VERSION, der(INTEGER, Buffer.of(2)));
  const body = der(SEQUENCE, version3, der(INTEGER, serial), algorithm, name, validity, name, publicKeyInfo);
  const signature = sign("sha256", body, privateKey);
  const certificate = der(SEQUENCE, body, algorithm, der(BIT_STRING, Buffer.of(0), signature));
  const lines = certificate.toString("base64").replace(/(.{64})/g, "$1\n");
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.trimEnd()}\n-----END CERTIFICATE-----\n`,
  };
}

function time(text: string): Buffer {
  return der(GENERALIZED_TIME, Buffer.from(text));
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}
