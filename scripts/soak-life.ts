// One container of the soak test: its commands, of which some are killed. A part of scripts/soak.
import type { Result } from "../test/e2e/support";
import { type Chance, quantile } from "./soak-chance";
import type { Outcome } from "./soak-command";
import type { Kind, SoakHost } from "./soak-host";
import type { Receiver } from "./soak-receiver";

const STOPS_MS = 60_000;
/** A kill may also come after the usual end. */
const LATEST_KILL = 1.2;
/** Of a program that was killed. */
const KILLED_STATUS = 128 + 9;
/** Of a create that was killed at once, another's perhaps. */
const REMAINS =
  /^(hako: warning: container "\S+" has no record: hako delete --force \S+ removes what is left of it\n)*$/;

export class Failure extends Error {}

/** A command was killed, or a process below it, as was the plan: the container's life ends here. */
export class Killed extends Error {}

interface Times {
  runs: number;
  killed: number;
  killedBelow: number;
  milliseconds: number[];
}

/** Of all lives, by command. */
export const times = new Map<string, Times>();

function timesOf(name: string): Times {
  const found = times.get(name) ?? { runs: 0, killed: 0, killedBelow: 0, milliseconds: [] };
  times.set(name, found);
  return found;
}

export function told({ status, signal, stderr, stdout }: Result): string {
  const end = signal === null ? `status ${status}` : `signal ${signal}`;
  return `${end}: ${stderr.trim() || `no error; ${JSON.stringify(stdout.slice(0, 500))} on standard output`}`;
}

/**
 * Something below a command was killed: it has to end as it would have (a program's child was hit), as a program that was
 * killed, or with a word about what failed.
 */
function endsByWord({ status, stdout, stderr }: Outcome, expected: number): boolean {
  // a terminal has one stream
  return [0, expected, KILLED_STATUS].includes(status ?? -1) || /^hako: /m.test(`${stdout}\n${stderr}`);
}

/**
 * Waits for the end of all, also where one of them was killed: what the others still make would be there after it was looked for.
 * The first failure is thrown then.
 */
export async function atOnce<T extends readonly unknown[]>(
  commands: readonly [...{ [K in keyof T]: Promise<T[K]> }],
): Promise<T> {
  await Promise.allSettled(commands);
  return (await Promise.all(commands)) as unknown as T;
}

export class Life {
  readonly id: string;
  readonly kind: Kind;
  #receiver: Receiver | undefined;

  constructor(
    readonly host: SoakHost,
    readonly chance: Chance,
    /** Of a command's runs, those that are killed. */
    readonly kills: number,
  ) {
    this.id = host.box.id();
    // without cgroups only the namespace tells which processes are the container's
    const shared = chance() < 0.2 && host.hasCgroups;
    const [seccomp, noNewPrivileges] = [chance() < 0.3, chance() < 0.5];
    this.kind = {
      shared,
      seccomp,
      noNewPrivileges,
      terminal: false,
      manyIds: host.rootless && chance() < 0.5,
    };
  }

  bundle(...args: string[]): string {
    return this.host.bundle(args, this.kind);
  }

  bundleOnTerminal(...args: string[]): string {
    return this.host.bundle(args, { ...this.kind, terminal: true });
  }

  async #call(
    words: string[],
    mayBeKilled: boolean,
    { name = words[0] ?? "", onTerminal = false, expected = 0 } = {},
  ): Promise<Result> {
    const known = timesOf(name);
    const [dice, moment] = [this.chance(), this.chance()];
    const isKilled = mayBeKilled && dice < this.kills && known.milliseconds.length > 3;
    const usual = quantile(known.milliseconds.slice(-50), 0.5);
    const result = await this.host.hako(
      words,
      { killAfter: isKilled ? moment * usual * LATEST_KILL : undefined, chance: this.chance },
      onTerminal,
    );
    known.runs++;
    if (result.killed === "a process below it") {
      known.killedBelow++;
      if (!endsByWord(result, expected))
        throw new Failure(`${words.join(" ")}: a process below it was killed: ${told(result)}`);
      throw new Killed();
    }
    if (result.signal !== null) {
      if (result.killed === undefined) throw new Failure(`${words.join(" ")}: ${told(result)}`);
      known.killed++;
      throw new Killed();
    }
    known.milliseconds.push(result.milliseconds);
    return result;
  }

  /** A command that may fail. */
  any(words: string[]): Promise<Result> {
    return this.#call(words, true);
  }

  /** A command that must end with this status; `name` where the same command takes another time. */
  async hako(words: string[], expected = 0, name = words[0] ?? "", onTerminal = false): Promise<Result> {
    const result = await this.#call(words, true, { name, onTerminal, expected });
    if (result.status === expected) return result;
    throw new Failure(`${name}: ${words.join(" ")}: ${told(result)}`);
  }

  /** The same on a terminal. */
  onTerminal(words: string[], expected: number): Promise<Result> {
    return this.hako(words, expected, `${words[0]} on a pty`, true);
  }

  /** For a create with --console-socket. */
  async receiver(): Promise<Receiver> {
    const [dice, moment] = [this.chance(), this.chance()];
    const usual = quantile(timesOf("create").milliseconds.slice(-50), 0.5);
    this.#receiver = await this.host.receiver(
      this.id,
      dice < this.kills ? moment * usual * 2 * LATEST_KILL : undefined,
    );
    return this.#receiver;
  }

  async state(): Promise<string> {
    return JSON.parse((await this.hako(["state", this.id])).stdout).status;
  }

  async expectState(...expected: string[]): Promise<void> {
    const status = await this.state();
    if (!expected.includes(status))
      throw new Failure(`${this.id} is ${status}, expected ${expected.join(" or ")}`);
  }

  async waitForEnd(): Promise<void> {
    for (const end = Date.now() + STOPS_MS; (await this.state()) !== "stopped"; await Bun.sleep(20)) {
      if (Date.now() > end) throw new Failure(`${this.id} does not stop`);
    }
  }

  detached(...args: string[]): Promise<Result> {
    return this.hako(["run", "--detach", "--bundle", this.bundle(...args), this.id], 0, "run --detach");
  }

  async #check(words: string[], accepts: (result: Result) => boolean): Promise<void> {
    const result = await this.#call(words, false);
    if (!accepts(result)) throw new Failure(`afterwards: ${words.join(" ")}: ${told(result)}`);
  }

  /** One or two at once; false if they were killed. */
  async #delete(): Promise<boolean> {
    const words = ["delete", "--force", this.id];
    try {
      const results = await atOnce(
        Array.from({ length: this.chance() < 0.2 ? 2 : 1 }, () => this.#call(words, true)),
      );
      const bad = results.find(({ status, stderr }) => status !== 0 || stderr !== "");
      if (bad !== undefined) throw new Failure(`${words.join(" ")}: ${told(bad)}`);
      return true;
    } catch (error) {
      if (error instanceof Killed) return false;
      throw error;
    }
  }

  /** Whatever became of it: others can see it, and delete --force removes it, if that is killed the next one does. */
  async end(): Promise<void> {
    const isGone = ({ status, stderr }: Result): boolean => status === 1 && stderr.includes("does not exist");
    await this.#check(["list"], ({ status, stderr }) => status === 0 && REMAINS.test(stderr));
    await this.#check(["state", this.id], (result) => result.status === 0 || isGone(result));
    while (!(await this.#delete())) await Bun.sleep(0);
    await this.#check(["state", this.id], isGone);
    await this.#receiver?.end();
  }
}
