import type { Readable } from "node:stream";

/** How long nothing may come, after a program's end, from one that it has left behind. */
const QUIET_MS = 50;

/** What a stream brings, up to so many bytes. */
export class Output {
  readonly #chunks: Buffer[] = [];
  readonly #stream: Readable;
  #left: number;
  #truncated = false;
  #ended = false;
  #last = 0;

  constructor(stream: Readable, limit: number) {
    this.#stream = stream;
    this.#left = limit;
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    stream.on("close", () => {
      this.#ended = true;
    });
    stream.on("end", () => {
      this.#ended = true;
    });
    stream.on("error", () => {
      this.#ended = true;
    });
  }

  #take(chunk: Buffer): void {
    this.#last = performance.now();
    const kept = chunk.subarray(0, this.#left);
    if (kept.length > 0) this.#chunks.push(kept);
    if (kept.length < chunk.length) this.#truncated = true;
    this.#left -= kept.length;
  }

  /**
   * Comes back when all is there that was written before the program's end. A process that it has left behind may hold the stream open:
   * what that writes is read, so that it isn't held up, and thrown away.
   */
  async settled(): Promise<void> {
    const since = performance.now();
    while (!this.#ended && performance.now() - Math.max(since, this.#last) < QUIET_MS)
      await new Promise((resolve) => setTimeout(resolve, this.#ended ? 0 : 2));
    if (this.#ended) return;
    this.#stream.removeAllListeners("data").resume();
    // a socket, which would keep the caller from ending
    (this.#stream as { unref?: () => void }).unref?.();
  }

  get truncated(): boolean {
    return this.#truncated;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    // of a character that was cut there is nothing
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.bytes, { stream: this.#truncated });
  }
}
