import { wrongArchive } from "./wrong";

/** A digest of the image spec (descriptor.md, "Digests"). */
export interface Digest {
  algorithm: "sha256" | "sha512";
  hex: string;
}

/** "sha256:HEX". */
export function parseDigest(text: string): Digest {
  const [, algorithm, hex] = /^(sha256|sha512):([0-9a-f]+)$/.exec(text) ?? [];
  if ((algorithm === "sha256" && hex?.length === 64) || (algorithm === "sha512" && hex?.length === 128))
    return { algorithm, hex: hex ?? "" };
  throw wrongArchive(`${JSON.stringify(text)} is not a digest`, "sha256:... or sha512:...");
}

/** The digest of bytes that come in pieces, compared with what it should be. */
export class DigestCheck {
  readonly #wanted: Digest;
  readonly #hasher: Bun.CryptoHasher;

  constructor(wanted: Digest) {
    this.#wanted = wanted;
    this.#hasher = new Bun.CryptoHasher(wanted.algorithm);
  }

  update(bytes: Uint8Array): void {
    this.#hasher.update(bytes);
  }

  /** Throws if the bytes are others. */
  close(what: string): void {
    const hex = this.#hasher.digest("hex");
    if (hex === this.#wanted.hex) return;
    const { algorithm } = this.#wanted;
    throw wrongArchive(`${what}: its digest is ${algorithm}:${hex}, not ${algorithm}:${this.#wanted.hex}`);
  }
}

export function checkDigest(bytes: Uint8Array, wanted: Digest, what: string): void {
  const check = new DigestCheck(wanted);
  check.update(bytes);
  check.close(what);
}
