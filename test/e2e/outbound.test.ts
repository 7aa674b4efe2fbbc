// All ports, and all that is outside: `--network allow:NAME:*` and `--network outbound` of `hako run --rootfs`.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { join } from "node:path";
import {
  HOST_ADDRESS,
  NEEDS_WORLD,
  OutsideWorld,
  refusedLines,
  SERVERS,
  SILENCE,
  say,
  sayByUdp,
} from "./outside-world";
import { NEEDS } from "./rootless-home";
import { e2e, execute, needsProgram, needsRoot, type Result, TIME_FACTOR } from "./support";

const ABLE = [needsRoot, ...NEEDS_WORLD, ...NEEDS];
const able = ABLE.every((need) => need === undefined);
let world: OutsideWorld;
beforeAll(async () => {
  if (!able) return;
  world = await OutsideWorld.make();
  await world.onHostAt(HOST_ADDRESS, 8080);
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const BASH = ["--", "bash", "-c"];

function run(who: "root" | "user", flags: readonly string[], ...lines: string[]): Result {
  const words = ["run", "--rootfs", "/", ...flags, ...BASH, lines.join("\n")];
  return who === "root" ? world.hako(...words) : world.asUser(...words);
}

function linesOf({ stdout }: Result): string[] {
  return stdout.split("\n").slice(0, -1);
}

/** A line of bash that asks for a name, and says its first address, or that there is none. */
function look(name: string): string {
  return `getent ahostsv4 ${name} | head -n 1 | cut -d' ' -f1 | grep . || echo unknown`;
}

for (const who of ["root", "user"] as const)
  describe(`as ${who}`, () => {
    e2e(
      "a rule for all ports leads to all of them, and to no other name",
      () => {
        const result = run(
          who,
          ["--network", "allow:web.test:*", "--network", "allow:web.test:1-65535/udp"],
          say("web.test", 80),
          say("web.test", 5432),
          sayByUdp("web.test", 443),
          say("other.test", 80),
          say(SERVERS.other, 80),
        );
        expect(linesOf(result)).toEqual([
          `${SERVERS.public} 80 hello`,
          `${SERVERS.public} 5432 hello`,
          `${SERVERS.public} 443 hello`,
          "refused",
          "refused",
        ]);
      },
      ABLE,
    );

    e2e(
      "what is called at a port that no rule names is told",
      () => {
        const result = run(
          who,
          ["--network", "allow:web.test"],
          say("web.test", 22),
          sayByUdp(SERVERS.other, 123, SILENCE),
        );
        expect(linesOf(result)).toEqual(["refused", "nothing"]);
        expect(refusedLines(result)).toContain("hako: web.test:22 was refused: --network allow:web.test:22");
        expect(result.stderr).toContain(`--network allow:${SERVERS.other}:123/udp\n`);
      },
      ABLE,
    );

    e2e(
      "outbound leads to all that is outside, and to nothing of the host's and its networks",
      () => {
        const result = run(
          who,
          ["--network", "outbound"],
          say(SERVERS.public, 5432),
          say(SERVERS.other, 443),
          say(SERVERS.v6, 80),
          sayByUdp(SERVERS.other, 5432),
          sayByUdp(SERVERS.v6, 443),
          say("dns.test", 443),
          ...[SERVERS.private, SERVERS.metadata, "169.254.1.1", "private.test"].map((host) => say(host, 80)),
          sayByUdp(SERVERS.private, 5432, SILENCE),
          say(HOST_ADDRESS, 8080),
          ...["127.0.0.1", "localhost", "::1"].map((host) => say(host, 8080)),
        );
        expect(linesOf(result)).toEqual([
          `${SERVERS.public} 5432 hello`,
          `${SERVERS.other} 443 hello`,
          `${SERVERS.v6} 80 hello`,
          `${SERVERS.other} 5432 hello`,
          `${SERVERS.v6} 443 hello`,
          `${SERVERS.public} 443 hello`,
          ...Array(4).fill("refused"),
          "nothing",
          ...Array(4).fill("refused"),
        ]);
        expect(result.stderr).toContain(`${SERVERS.metadata}:80 was refused`);
        expect(result.stderr).toContain(`${HOST_ADDRESS}:8080 was refused`);
      },
      ABLE,
    );

    e2e(
      "outbound has the host's names, and says which are not there",
      () => {
        const result = run(
          who,
          ["--network", "outbound"],
          look("dns.test"),
          look("nowhere.test"),
          look("private.test"),
        );
        expect(linesOf(result)).toEqual([SERVERS.public, "unknown", SERVERS.private]);
        expect(result.stderr).toBe("");
      },
      ABLE,
    );

    e2e(
      "outbound and a rule: an address of the host's network is reached at its port",
      () => {
        const flags = ["--network", "outbound", "--network", `allow:${SERVERS.private}:5432`];
        const result = run(
          who,
          flags,
          say("private.test", 5432),
          say("private.test", 80),
          say("dns.test", 80),
        );
        expect(linesOf(result)).toEqual([
          `${SERVERS.private} 5432 hello`,
          "refused",
          `${SERVERS.public} 80 hello`,
        ]);
      },
      ABLE,
    );

    e2e(
      "outbound without a range",
      () => {
        const flags = ["--network", "outbound", "--network", `deny:${SERVERS.other}`];
        const result = run(who, flags, say(SERVERS.other, 80), say(SERVERS.public, 80));
        expect(linesOf(result)).toEqual(["refused", `${SERVERS.public} 80 hello`]);
      },
      ABLE,
    );
  });

e2e(
  "outbound beside a name that is denied is refused: its address could be reached",
  () => {
    const result = run("root", ["--network", "outbound", "--network", "deny:web.test"], "true");
    expect(result.status).not.toBe(0);
    expect(result.stderr).toContain("deny:web.test contradicts outbound");
  },
  ABLE,
);

/** A message of DNS about NAME.test, as printf(1) has it. */
function message(name: string, type: number, opcode = 0): string {
  const bytes = [0x12, 0x34, 1 | (opcode << 3), 0, 0, 1, 0, 0, 0, 0, 0, 0, name.length, ...Buffer.from(name)];
  const all = [...bytes, 4, ...Buffer.from("test"), 0, 0, type, 0, 1];
  return all.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}

describe("what is asked of the name server under outbound", () => {
  const [A, TXT, AXFR, UPDATE] = [1, 16, 252, 5];
  const SERVER = "198.18.0.1/53";
  const PATIENCE = 10 * TIME_FACTOR;
  /** How many bytes an answer with a text has; one with an address has one less. */
  const ANSWER = 43;
  /** What comes back to messages, as `od` has its end. */
  const byTcp = (seconds: number, end: number, ...messages: string[]) => {
    const framed = messages.map((text) => `\\x00\\x${(text.length / 4).toString(16)}${text}`).join("");
    return `(exec 3<>/dev/tcp/${SERVER}; printf '${framed}' >&3; timeout ${seconds} head -c ${end} <&3 | tail -c 4 | od -An -c | tr -d ' ')`;
  };
  const byUdp = (seconds: number, text: string) =>
    `(exec 3<>/dev/udp/${SERVER}; printf '${text}' >&3; timeout ${seconds} head -c ${ANSWER} <&3 | tail -c 4 | od -An -c | tr -d ' ')`;

  for (const who of ["root", "user"] as const)
    e2e(
      `by TCP as by UDP names of rules are answered here and others outside, ${who}`,
      () => {
        const flags = ["--network", "outbound", "--network", "allow:web.test:5432"];
        const result = run(
          who,
          flags,
          byTcp(PATIENCE, ANSWER + 2, message("dns", TXT)),
          // one after the other in one connection
          byTcp(PATIENCE, 2 * (ANSWER + 1), message("dns", A), message("web", A)),
          say("web.test", 5432),
          byUdp(PATIENCE, message("dns", TXT)),
        );
        expect(linesOf(result)).toEqual(["text", "306022001\\0", `${SERVERS.public} 5432 hello`, "text"]);
      },
      ABLE,
    );

  e2e(
    "nothing but questions for records is passed on: no update, and none for a whole zone",
    () => {
      const asked = [message("dns", AXFR), message("dns", A, UPDATE)];
      const result = run(
        "root",
        ["--network", "outbound"],
        ...asked
          .flatMap((text) => [byTcp(SILENCE, ANSWER + 2, text), byUdp(SILENCE, text)])
          .map((line) => `${line} &`),
        "wait",
        say("dns.test", 80),
      );
      expect(result.stdout).not.toContain("text");
      expect(linesOf(result).at(-1)).toBe(`${SERVERS.public} 80 hello`);
      const direct = asked.map((text) => byUdp(PATIENCE, text).replace("198.18.0.1", "203.0.113.53"));
      expect(world.onHost("bash", "-c", direct.join("\n")).stdout).toBe("text\ntext\n");
    },
    ABLE,
  );
});

/** Opens connections, sends a line by each when all are open, and counts those that come back as they were. */
const MANY = `
const { connect } = require("node:net");
const [host, port, count] = [process.argv[1], Number(process.argv[2]), Number(process.argv[3])];
const sockets = await Promise.all(Array.from({ length: count }, () => new Promise((done, fail) => {
  const socket = connect(port, host, () => done(socket)).on("error", fail);
})));
const answers = await Promise.all(sockets.map((socket, at) => new Promise((done) => {
  socket.on("data", (bytes) => done(bytes.toString().endsWith(" 80 line" + at + "\\n")));
  socket.write("line" + at + "\\n");
})));
console.log(answers.filter(Boolean).length);
process.exit();
`;

for (const [count, mark] of [
  [300, ""],
  [3000, " @all"],
] as const)
  e2e(
    `${count} connections at once${mark}`,
    () => {
      const words = [
        "--ulimit",
        "nofile=8000:8000",
        "--network",
        "outbound",
        "--",
        process.execPath,
        "-e",
        MANY,
      ];
      const result = world.hako("run", "--rootfs", "/", ...words, SERVERS.public, "80", String(count));
      expect(result).toMatchObject({ status: 0, stdout: `${count}\n`, stderr: "" });
    },
    ABLE,
  );

describe("on a kernel without nf_tables", () => {
  function without(...words: string[]): Result {
    const program = world.home.box.path("without-nf-tables");
    const source = join(import.meta.dir, "fixtures/without-nf-tables.c");
    expect(execute("gcc", ["-O1", "-static", "-o", program, source])).toMatchObject({ status: 0 });
    return world.hakoBehind([program], ...words);
  }
  const BEFORE = ["run", "--rootfs", "/"];

  e2e("rules for single ports hold", () => {
    const rules = ["--network", "allow:web.test:5432", "--network", "allow:web.test:443/udp"];
    const lines = [
      say("web.test", 5432),
      sayByUdp("web.test", 443),
      say("web.test", 80),
      say("other.test", 5432),
    ];
    const result = without(...BEFORE, ...rules, ...BASH, lines.join("\n"));
    expect(linesOf(result)).toEqual([
      `${SERVERS.public} 5432 hello`,
      `${SERVERS.public} 443 hello`,
      "refused",
      "refused",
    ]);
  }, [...ABLE, needsProgram("gcc")]);

  for (const rule of ["outbound", "allow:web.test:*", "allow:web.test:1-101"])
    e2e(`${rule} is refused, which says what is missing`, () => {
      const result = without(...BEFORE, "--network", rule, "--", "echo", "ran");
      expect(result).toMatchObject({ status: 125, stdout: "" });
      expect(result.stderr).toContain("nf_tables with tproxy, which is not to be had here");
      expect(linesOf(world.hako("list", "-q"))).toEqual([]);
    }, [...ABLE, needsProgram("gcc")]);
});
