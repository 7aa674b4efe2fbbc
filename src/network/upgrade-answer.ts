/** The end of a head of HTTP/1.1, and how long hako lets one be, in bytes. */
export const HEAD_END = "\r\n\r\n";
export const LONGEST_HEAD = 65_536;

/** The shortest text that says a status (RFC 9112 4), with the character behind it. */
const STATUS_LENGTH = "HTTP/1.1 101 ".length;
const INTERIM = /^HTTP\/1\.1 (1\d\d)[ \r]$/;

/** What a server says to a request with an `Upgrade`, in any pieces. */
export class UpgradeAnswer {
  #rest = Buffer.alloc(0);

  /**
   * Whether the server speaks the other protocol from here on (101, RFC 9110 15.2.2); undefined until it has said so or not: other interim answers may
   * come before. No bytes stand for the end of all that it says.
   */
  push(bytes: Uint8Array): boolean | undefined {
    if (bytes.length === 0) return false;
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= STATUS_LENGTH) {
      const [, status] = INTERIM.exec(this.#rest.toString("latin1", 0, STATUS_LENGTH)) ?? [];
      if (status === undefined || status === "101") return status !== undefined;
      const end = this.#rest.indexOf(HEAD_END);
      if (end < 0) return this.#rest.length > LONGEST_HEAD ? false : undefined;
      this.#rest = this.#rest.subarray(end + HEAD_END.length);
    }
    return undefined;
  }
}
