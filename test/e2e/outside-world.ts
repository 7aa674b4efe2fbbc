// A small Internet: a network namespace in which hako runs as on a host, and another one with servers, which has addresses of all kinds.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AS_USER, Home } from "./rootless-home";
import { execute, HAKO, needsProgram, needsRoot, type Result, TIME_FACTOR, TIME_LIMIT } from "./support";

export const NEEDS_WORLD = [needsRoot, ...["ip", "nsenter", "unshare", "bash"].map(needsProgram)];

/** Addresses of the servers, by what they are. */
export const SERVERS = {
  /** Of documentation (RFC 5737, 3849): to hako they are as any on the Internet. */
  public: "203.0.113.7",
  other: "203.0.113.8",
  v6: "2001:db8::7",
  private: "10.9.8.7",
  metadata: "169.254.169.254",
} as const;
/** The host's own address on that network. */
export const HOST_ADDRESS = "203.0.113.1";
/** Where the host asks for names that its /etc/hosts has not. */
const NAME_SERVER = "203.0.113.53";
/** Where the servers listen. */
export const PORTS = [80, 443, 5432, 53] as const;

/** What the host knows of names. Nobody answers at the addresses of holes, and nothing says so: the servers' host has no way on to them. */
const HOSTS = `127.0.0.1 localhost rebind.test
::1 localhost
${SERVERS.public} web.test api.web.test dual.test
${SERVERS.v6} six.test dual.test
${SERVERS.other} other.test
${SERVERS.private} inner.test
${SERVERS.metadata} meta.test
${HOST_ADDRESS} me.test
203.0.113.99 nobody.test
192.0.2.1 hole.test
192.0.2.2 holes.test
192.0.2.3 holes.test
`;

export type HakoUser = "root" | "user";

export class OutsideWorld implements AsyncDisposable {
  readonly home = new Home();
  readonly #host = namespaces();
  readonly #servers = namespaces();
  readonly #processes: Bun.Subprocess[] = [];

  static async make(): Promise<OutsideWorld> {
    const world = new OutsideWorld();
    await world.#begin();
    return world;
  }

  async #begin(): Promise<void> {
    for (const { pid } of [this.#host, this.#servers]) await isApart(pid);
    writeFileSync(join(this.home.box.dir, "hosts"), HOSTS);
    writeFileSync(join(this.home.box.dir, "resolv.conf"), `nameserver ${NAME_SERVER}\n`);
    this.onHost(
      "sh",
      "-ec",
      `mount --bind ${this.home.box.dir}/hosts /etc/hosts
       mount --bind ${this.home.box.dir}/resolv.conf /etc/resolv.conf
       ip link set lo up
       ip link add out type veth peer name in netns ${this.#servers.pid}
       ip link set out up
       ip address add ${HOST_ADDRESS}/24 dev out
       ip -6 address add 2001:db8::1/64 dev out nodad
       ip route add default via ${SERVERS.public}`,
    );
    const addresses = Object.values(SERVERS);
    const given = [...addresses, NAME_SERVER].map((address) =>
      address.includes(":")
        ? `ip -6 address add ${address}/64 dev in nodad`
        : `ip address add ${address}/24 dev in`,
    );
    within(this.#servers.pid, [
      "sh",
      "-ec",
      `ip link set lo up; ip link set in up; ${given.join("; ")}; ip route add default via ${HOST_ADDRESS}`,
    ]);
    const script = join(import.meta.dir, "fixtures/outside-servers.ts");
    await this.serve(this.#servers.pid, script, [...addresses, "--", ...PORTS.map(String)]);
    await this.serve(this.#servers.pid, join(import.meta.dir, "fixtures/outside-names.ts"), [NAME_SERVER]);
  }

  /** Has a server of tests answer outside. */
  async outside(script: string, ...args: string[]): Promise<void> {
    await this.serve(this.#servers.pid, script, args);
  }

  /** Has servers listen on the host itself, at an address of it. */
  async onHostAt(address: string, ...ports: number[]): Promise<void> {
    const script = join(import.meta.dir, "fixtures/outside-servers.ts");
    await this.serve(this.#host.pid, script, [address, "--", ...ports.map(String)]);
  }

  async serve(pid: number, script: string, args: string[]): Promise<void> {
    const server = Bun.spawn(["nsenter", "-t", `${pid}`, "-n", process.execPath, script, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#processes.push(server);
    const { value } = await server.stdout.getReader().read();
    if (new TextDecoder().decode(value).trim() !== "ready") throw new Error("servers did not begin");
  }

  /** A command on the host, which must succeed. */
  onHost(...command: string[]): Result {
    return within(this.#host.pid, command);
  }

  /** `hako` on the host, as root. */
  hako(...args: string[]): Result {
    return this.#run([HAKO, "--root", this.home.box.root, ...args]);
  }

  /** `hako` on the host, as root, executed by another command. */
  hakoBehind(command: readonly string[], ...args: string[]): Result {
    return this.#run([...command, HAKO, "--root", this.home.box.root, ...args]);
  }

  /** `hako` on the host, as an ordinary user. */
  asUser(...args: string[]): Result {
    return this.#run([...AS_USER, this.home.hakoPath, ...args]);
  }

  #run(command: string[]): Result {
    const [program = "", ...words] = [...this.#prefix, ...command];
    return execute(program, words, { env: this.env, timeout: TIME_LIMIT });
  }

  get env(): Record<string, string> {
    return { ...this.home.env, HOME: "/" };
  }

  /** Words that begin a command of hako on the host. */
  words(who: HakoUser): string[] {
    const hako = who === "root" ? [HAKO, "--root", this.home.box.root] : [...AS_USER, this.home.hakoPath];
    return [...this.#prefix, ...hako];
  }

  /** Words that begin a command on the host. */
  get #prefix(): string[] {
    return ["nsenter", "-t", `${this.#host.pid}`, "-n", "-m", "--wdns=/", "--"];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [...this.#processes, this.#host, this.#servers]) {
      child.kill("SIGKILL");
      await child.exited;
    }
    this.home[Symbol.dispose]();
  }
}

/** A process that holds a network namespace and a mount namespace. */
function namespaces(): Bun.Subprocess {
  return Bun.spawn(["unshare", "-n", "-m", "--propagation", "private", "sleep", "infinity"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

async function isApart(pid: number): Promise<void> {
  while (!readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep")) await Bun.sleep(5);
}

function within(pid: number, command: readonly string[]): Result {
  const result = execute("nsenter", ["-t", `${pid}`, "-n", "-m", "--wdns=/", "--", ...command]);
  if (result.status !== 0) throw new Error(`${command.join(" ")}: ${result.stderr}`);
  return result;
}

/** What hako has said of what was refused, however often: bash calls a name's next address where the first one was reset while it connected. */
export function refusedLines({ stderr }: Pick<Result, "stderr">): string[] {
  const lines = stderr.split("\n").filter((line) => line.startsWith("hako: "));
  return lines.map((line) => line.replace(/ was refused \d+ times: /, " was refused: "));
}

/** How many seconds an answer may take; what is refused is so at once. */
const PATIENCE = 10 * TIME_FACTOR;

/** A line of bash that says a line to a place by TCP, and prints what comes back first; or "refused". */
export function say(host: string, port: number, line = "hello"): string {
  return `(exec 3<>/dev/tcp/${host}/${port} && echo ${line} >&3 && read -t ${PATIENCE} -r back <&3 && echo "$back") 2>/dev/null || echo refused`;
}

/** The same by UDP, or "nothing" after so many seconds; bash would read a byte, and lose the others of a datagram. */
export function sayByUdp(host: string, port: number, seconds = PATIENCE): string {
  return `(exec 3<>/dev/udp/${host}/${port} && echo hello >&3 && timeout ${seconds} head -n 1 <&3 | grep .) 2>/dev/null || echo nothing`;
}

/** How many seconds nothing comes by UDP where nothing is expected. */
export const SILENCE = 2;
