// Who receives a container's terminal by a console socket, and may be killed meanwhile. A part of scripts/soak.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { Hang } from "./soak-command";

const LISTENS_MS = 120_000;
const ENDS_MS = 60_000;

export class Receiver {
  wasKilled = false;
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #killer: Timer | undefined;

  /** Listens when the promise is fulfilled; killed after so many milliseconds, if given. */
  static async start(
    socket: string,
    words: string[],
    env: Record<string, string>,
    killAfter?: number,
  ): Promise<Receiver> {
    const receiver = new Receiver(socket, words, env, killAfter);
    for (const end = Date.now() + LISTENS_MS; !existsSync(socket); await Bun.sleep(10)) {
      if (receiver.#hasEnded()) break;
      if (Date.now() > end) throw new Hang(`${words.join(" ")} does not listen`);
    }
    return receiver;
  }

  private constructor(
    readonly socket: string,
    words: string[],
    env: Record<string, string>,
    killAfter: number | undefined,
  ) {
    const [program = "", ...args] = words;
    const child = spawn(program, args, { stdio: "ignore", cwd: "/", env });
    this.#process = child;
    this.#ended = new Promise((done) => child.once("exit", () => done()));
    this.#killer =
      killAfter === undefined
        ? undefined
        : setTimeout(() => {
            this.wasKilled = true;
            child.kill("SIGKILL");
          }, killAfter);
  }

  #hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** The container is gone, and its terminal too, if it was received. */
  async end(): Promise<void> {
    clearTimeout(this.#killer);
    // nobody came: it would wait on
    if (existsSync(this.socket)) this.#process.kill("SIGTERM");
    const late = setTimeout(() => this.#process.kill("SIGKILL"), ENDS_MS);
    await this.#ended;
    clearTimeout(late);
    if (this.#process.signalCode === "SIGKILL" && !this.wasKilled)
      throw new Hang(`console recv ${this.socket} does not end with its terminal`);
    rmSync(this.socket, { force: true });
  }
}
