import { Readable } from "node:stream";
import type { SandboxProcess } from "./attended.js";

/** What a program reads from its standard input. */
export type ProgramInput = string | Uint8Array | AsyncIterable<string | Uint8Array>;

/** Writes a program's input, as fast as it reads; a program need not read to the end. Input that can't be read is the program's end. */
export class Input {
  #source: Readable | undefined;
  #failure: { error: unknown } | undefined;

  constructor(input: ProgramInput, program: SandboxProcess) {
    const { stdin } = program;
    stdin.on("error", () => this.stop());
    if (typeof input === "string" || input instanceof Uint8Array) {
      stdin.end(input);
      return;
    }
    this.#source = input instanceof Readable ? input : Readable.from(input);
    this.#source.on("error", (error) => {
      this.#failure = { error };
      program.kill("SIGKILL");
    });
    this.#source.pipe(stdin);
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
