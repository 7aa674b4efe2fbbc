import { Readable } from "node:stream";
import type { SandboxProcess } from "./attended.js";

/** What a program reads from its standard input. */
export type ProgramInput = string | ArrayBufferView | AsyncIterable<string | ArrayBufferView>;

/** Writes a program's input, as fast as it reads; a program need not read to the end. Input that can't be read is the program's end. */
export class Input {
  readonly #program: SandboxProcess;
  #source: Readable | undefined;
  #failure: { error: unknown } | undefined;

  constructor(input: ProgramInput, program: SandboxProcess) {
    this.#program = program;
    const { stdin } = program;
    // it reads no more
    stdin.on("error", () => this.stop());
    if (typeof input === "string" || ArrayBuffer.isView(input)) {
      stdin.end(chunkOf(input));
      return;
    }
    const source = input instanceof Readable ? input : Readable.from(input);
    this.#source = source;
    source.on("error", (error) => this.#fail(error));
    source.on("end", () => stdin.end());
    source.on("data", (data: unknown) => {
      const chunk = chunkOf(data);
      if (chunk === undefined)
        this.#fail(new TypeError(`input has a ${typeof data}, which is no text and no bytes`));
      else if (!stdin.write(chunk)) {
        source.pause();
        stdin.once("drain", () => source.resume());
      }
    });
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#program.kill("SIGKILL");
    this.stop();
  }

  /** Reads no more. */
  stop(): void {
    this.#source?.destroy();
  }

  /** Throws why the input could not be read. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/** What a stream of bytes takes; undefined of what is neither a text nor bytes. */
function chunkOf(data: unknown): string | Uint8Array | undefined {
  if (typeof data === "string") return data;
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : undefined;
}
