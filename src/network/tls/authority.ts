import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { randomBytes } from "../../linux/kernel/random";
import {
  bitString,
  type Der,
  implicit,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
  tagged,
  truth,
  unsigned,
  utcTime,
  utf8,
} from "./der";

/** How long certificates hold: no command runs longer as a rule (docs/network.md has what happens to one). No file has the keys, and they end with this process. */
const DAYS = 90;
const DAY_MS = 86_400_000;

/** RFC 5280 4.1, 4.2; RFC 5758 3.2 */
const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
} as const;

/** Numbers of GeneralName (RFC 5280 4.2.1.6). */
const [DNS_NAME, IP_ADDRESS] = [2, 7];
/** All addresses of IPv4, and of IPv6: each address with its mask. */
const ALL_ADDRESSES = [8, 32].map((length) => new Uint8Array(length));

/** A certificate in PEM, and its key. */
export interface Credentials {
  certificate: string;
  key: string;
}

interface Signer {
  name: string;
  key: KeyObject;
  identifier: Buffer;
}

/** A certificate authority that vouches for a few hosts; its certificate is good for these, and names below them, alone (RFC 5280 4.2.1.10). */
export class Authority {
  /** In PEM. */
  readonly certificate: string;
  readonly #signer: Signer;
  readonly #hosts: readonly string[];
  readonly #credentials = new Map<string, Credentials>();

  constructor(hosts: readonly string[]) {
    const { privateKey, publicKey } = newKeys();
    const name = `hako ${randomBytes(8).toHex()}`;
    this.#hosts = hosts;
    this.#signer = { name, key: privateKey, identifier: identifierOf(publicKey) };
    this.certificate = signed(this.#signer, name, publicKey, [
      extension(OID.basicConstraints, sequence(truth(), unsigned(Uint8Array.of(0))), true),
      // keyCertSign is bit 5
      extension(OID.keyUsage, bitString(Uint8Array.of(0b0000_0100), 2), true),
      extension(OID.subjectKeyIdentifier, octetString(this.#signer.identifier)),
      extension(OID.nameConstraints, constraints(hosts), true),
    ]);
  }

  /** What the server of a host shows. */
  credentialsOf(host: string): Credentials {
    const known = this.#credentials.get(host);
    if (known !== undefined) return known;
    if (!this.#hosts.includes(host)) throw new Error(`no authority for ${host}`);
    const { privateKey, publicKey } = newKeys();
    const certificate = signed(this.#signer, "hako", publicKey, [
      extension(OID.basicConstraints, sequence(), true),
      // digitalSignature is bit 0
      extension(OID.keyUsage, bitString(Uint8Array.of(0b1000_0000), 7), true),
      extension(OID.extendedKeyUsage, sequence(objectIdentifier(OID.serverAuth))),
      extension(OID.subjectKeyIdentifier, octetString(identifierOf(publicKey))),
      extension(OID.authorityKeyIdentifier, sequence(implicit(0, this.#signer.identifier))),
      extension(OID.subjectAltName, sequence(implicit(DNS_NAME, Buffer.from(host)))),
    ]);
    const credentials = {
      certificate,
      key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    };
    this.#credentials.set(host, credentials);
    return credentials;
  }
}

function newKeys() {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

/** Names of these hosts, and no addresses. */
function constraints(hosts: readonly string[]): Der {
  const permitted = hosts.map((host) => sequence(implicit(DNS_NAME, Buffer.from(host))));
  const excluded = ALL_ADDRESSES.map((range) => sequence(implicit(IP_ADDRESS, range)));
  return sequence(tagged(0, ...permitted), tagged(1, ...excluded));
}

function extension(identifier: string, value: Der, critical = false): Der {
  return sequence(objectIdentifier(identifier), ...(critical ? [truth()] : []), octetString(value));
}

/** A name with one part. */
function commonName(text: string): Der {
  return sequence(setOf(sequence(objectIdentifier(OID.commonName), utf8(text))));
}

function identifierOf(key: KeyObject): Buffer {
  return createHash("sha1").update(publicKeyInfo(key)).digest();
}

function publicKeyInfo(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

/** A certificate of version 3 (RFC 5280 4.1) in PEM. */
function signed(signer: Signer, subject: string, key: KeyObject, extensions: readonly Der[]): string {
  const algorithm = sequence(objectIdentifier(OID.ecdsaWithSha256));
  const now = Date.now();
  const content = sequence(
    tagged(0, unsigned(Uint8Array.of(2))),
    // positive, and no bigger than 20 bytes (4.1.2.2)
    unsigned(Uint8Array.of(1, ...randomBytes(16))),
    algorithm,
    commonName(signer.name),
    sequence(utcTime(now - DAY_MS), utcTime(now + DAYS * DAY_MS)),
    commonName(subject),
    publicKeyInfo(key),
    tagged(3, sequence(...extensions)),
  );
  const whole = sequence(content, algorithm, bitString(sign("sha256", content, signer.key)));
  const lines = whole.toString("base64").replaceAll(/.{1,64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`;
}
