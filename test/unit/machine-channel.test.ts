// What the host and a machine's agent say to each other, and what the host makes of an agent or a QEMU that is hostile.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, checkIsAgent } from "../../src/agent/agent";
import { AgentClient } from "../../src/drivers/vm/channel/agent-client";
import { AGENT_WORD } from "../../src/drivers/vm/channel/agent-protocol";
import { JsonLines, LONGEST_LINE, LONGEST_REQUEST } from "../../src/drivers/vm/channel/json-lines";
import { tellingLine } from "../../src/drivers/vm/machine";
import { Qmp } from "../../src/drivers/vm/qemu/qmp";
import { bytesOf } from "../../src/linux/call/bytes";
import type { Fd } from "../../src/linux/call/fd";
import { trySyscall } from "../../src/linux/call/syscall";
import { writeAllWaiting } from "../../src/linux/file/stream";
import { socketPair } from "../../src/linux/file/unix-socket";
import { configureLog } from "../../src/output/log";

const soon = (milliseconds = 20_000) => performance.now() + milliseconds;

/** What an action throws, and how long it took. */
function failure(action: () => unknown): { message: string; milliseconds: number } {
  const start = performance.now();
  try {
    action();
  } catch (error) {
    return { message: (error as Error).message, milliseconds: performance.now() - start };
  }
  throw new Error("it did not fail");
}

/** A client whose agent has sent this already, and goes on as a shell's command says, whose descriptor 3 is the port. */
function withAgent<T>(
  sent: string | Uint8Array,
  command: string | undefined,
  use: (client: AgentClient) => T,
): T {
  const [ours, theirs] = socketPair("port");
  using peer = theirs;
  using client = new AgentClient(ours);
  writeAllWaiting(peer, sent);
  const child =
    command === undefined
      ? undefined
      : Bun.spawn(["sh", "-c", command], { stdio: ["ignore", "ignore", "ignore", peer.number] });
  try {
    return use(client);
  } finally {
    child?.kill("SIGKILL");
  }
}

const HELLO = { protocol: 2, version: "1", commit: "c", kernel: "6.1", uptime: 1.5 };
const line = (message: unknown) => `${JSON.stringify(message)}\n`;

describe("the host and an agent", () => {
  test("understand each other", () => {
    const [ours, theirs] = socketPair("port");
    using host = new JsonLines(ours, "test");
    using agent = new JsonLines(theirs, "the host");
    const calls = ["ping", "hello", "power-off", "ping"];
    for (const [id, call] of calls.entries()) host.send({ id, call }, soon());
    // the one after the end is not answered
    new Agent().serve(agent);
    const replies = [0, 1, 2].map(() => host.receive(soon()));
    expect(replies[0]).toEqual({ id: 0, result: {} });
    expect(replies[1]).toMatchObject({ id: 1, result: { protocol: 2, kernel: expect.any(String) } });
    expect(replies[2]).toEqual({ id: 2, result: {} });
    host.fill();
    expect(host.take()).toBeUndefined();
  });

  test("an agent goes on after what is no request, and has one that is not as it should be refused", () => {
    const [ours, theirs] = socketPair("port");
    using host = new JsonLines(ours, "test");
    using agent = new JsonLines(theirs, "the host");
    const nothing = ["{}", "null", "[1]", "x", "", '{"id":1.5,"call":"ping"}'];
    writeAllWaiting(ours, nothing.map((each) => `${each}\n`).join(""));
    host.send({ id: 1, call: "constructor" }, soon());
    host.send({ id: 2, call: "start", data: { container: 7 } }, soon());
    host.send({ id: 3, call: "start", data: { container: "a" } }, soon());
    host.send({ id: 4, call: "power-off" }, soon());
    new Agent().serve(agent);
    expect([0, 1, 2, 3].map(() => host.receive(soon()))).toEqual([
      // of a host that is newer, perhaps
      {
        id: 1,
        error: {
          code: "unsupported",
          message: expect.stringMatching(/^constructor: hako .* does not know this call$/),
        },
      },
      { id: 2, error: { code: "system", message: expect.stringContaining("Invalid type") } },
      { id: 3, error: { code: "not-found", message: 'container "a" does not exist' } },
      { id: 4, result: {} },
    ]);
  });

  test("an agent takes what is longer than an answer may be; what it would not take is not sent", () => {
    const [ours, theirs] = socketPair("port");
    using host = new JsonLines(ours, "the agent");
    using agent = new JsonLines(theirs, "the host", LONGEST_REQUEST);
    const long = "x".repeat(LONGEST_LINE);
    const sent = bytesOf(line(long));
    for (let done = 0; done < sent.length; agent.fill()) {
      const length = trySyscall("write", ours.number, sent.subarray(done), sent.length - done);
      done += Math.max(0, length);
    }
    while (!agent.has) agent.fill();
    expect(agent.take() === long).toBeTrue();
    expect(failure(() => host.send("x".repeat(LONGEST_REQUEST), soon())).message).toStartWith(
      "a message to the agent of more than",
    );
    expect(agent.read()).toBe("nothing");
  });

  test("what an agent warns of is the host's to tell", () => {
    const directory = mkdtempSync(join(tmpdir(), "hako-unit-"));
    const file = join(directory, "log");
    const answer = line({ id: 1, result: {}, warnings: ["left out: x\x1b[2J"] });
    configureLog({ file, json: false, verbosity: "warning" });
    try {
      withAgent(answer, undefined, (client) => client.ask("ping", {}, soon()));
    } finally {
      configureLog({ json: false, verbosity: "warning" });
    }
    expect(readFileSync(file, "utf8")).toContain('msg="left out: x\\\\x1b[2J"\n');
    rmSync(directory, { recursive: true });
    const many = line({ id: 1, result: {}, warnings: Array.from({ length: 100 }, () => "x") });
    expect(
      failure(() => withAgent(many, undefined, (client) => client.ask("ping", {}, soon()))).message,
    ).toBe("the guest's agent sent something that is no reply");
  });

  test("an agent without a container that nobody asks ends by itself", () => {
    const [ours, theirs] = socketPair("port");
    using host = new JsonLines(ours, "test");
    using agent = new JsonLines(theirs, "the host");
    const start = performance.now();
    host.send({ id: 1, call: "ping" }, soon());
    new Agent(300).serve(agent);
    expect(performance.now() - start).toBeWithin(299, 10_000);
    expect(host.receive(soon())).toEqual({ id: 1, result: {} });
  });

  test("a reply to somebody else, who asked before, is passed over; many are not", () => {
    const reply = (id: number) => line({ id, result: {} });
    const asked = (sent: string) => {
      const [ours, theirs] = socketPair("port");
      using peer = theirs;
      using client = new AgentClient(ours, undefined, 1000);
      writeAllWaiting(peer, sent);
      return client.ask("ping", {}, soon());
    };
    expect(asked(reply(3) + line({ id: 999, error: { code: "state", message: "x" } }) + reply(1000))).toEqual(
      {},
    );
    expect(() => asked(reply(1001))).toThrow("a reply to another request");
    expect(() => asked(reply(1).repeat(17))).toThrow("a reply to another request");
  });

  test("only a machine's first process is an agent, where the kernel's command line says so", () => {
    expect(() => checkIsAgent(1, `quiet ${AGENT_WORD} x\n`)).not.toThrow();
    for (const [pid, words] of [
      [2, AGENT_WORD],
      [1, "quiet"],
      [1, `${AGENT_WORD}=1`],
      [1, `x${AGENT_WORD}`],
    ] as const)
      expect(() => checkIsAgent(pid, words)).toThrow("first process of a machine");
  });
});

describe("a hostile agent", () => {
  const asked = (sent: string | Uint8Array, deadline = soon()) =>
    failure(() => withAgent(sent, undefined, (client) => client.ask("hello", {}, deadline)));

  test("that answers well is understood", () => {
    const answer = withAgent(line({ id: 1, result: { ...HELLO, more: 1 } }), undefined, (client) =>
      client.ask("hello", {}, soon()),
    );
    // what was not asked for is not there
    expect(answer).toEqual(HELLO as typeof answer);
  });

  for (const [what, sent] of [
    ["bytes that are no text", Uint8Array.of(0xff, 0xfe, 0x00, 0x0a)],
    ["no JSON", "hello\n"],
    ["an empty line", "\n"],
    ["null", "null\n"],
    ["a list", "[1,2]\n"],
    ["no reply", line({ hello: 1 })],
    ["another id", line({ id: 7, result: HELLO })],
    ["an id that is no number", line({ id: "1", result: HELLO })],
    ["no version", line({ id: 1, result: { ...HELLO, version: undefined } })],
    ["another protocol", line({ id: 1, result: { ...HELLO, protocol: 1 } })],
    ["a long version", line({ id: 1, result: { ...HELLO, version: "v".repeat(201) } })],
    ["a time that is none", line({ id: 1, result: { ...HELLO, uptime: -1 } })],
    ["a long error", line({ id: 1, error: { code: "system", message: "e".repeat(100_000) } })],
    ["an error of a kind that there is not", line({ id: 1, error: { code: "usage", message: "e" } })],
    ["a deep value", `${"[".repeat(100_000)}\n`],
    ["a prototype", '{"__proto__":{"id":1,"result":{}}}\n'],
  ] as const)
    test(`that sends ${what} is found out`, () => {
      expect(asked(sent).message).toStartWith("the guest's agent sent ");
    });

  test("that sends an error is quoted", () => {
    const { message } = asked(line({ id: 1, error: { code: "state", message: "no\n\u001b[2J" } }));
    expect(message).toBe("no\\x0a\\x1b[2J");
  });

  test("that says nothing is waited for up to the deadline", () => {
    const { message, milliseconds } = asked("", soon(150));
    expect(message).toBe("the guest's agent does not answer in time");
    expect(milliseconds).toBeGreaterThan(100);
    expect(asked('{"id":1,', soon(150)).message).toBe("the guest's agent does not answer in time");
  });

  test("that sends byte after byte, or line after line, is not waited for longer", () => {
    const drips = "while :; do printf x >&3; done";
    const { message, milliseconds } = failure(() =>
      withAgent("", drips, (client) => client.ask("ping", {}, soon(300))),
    );
    expect(message).toMatch(/does not answer in time|a line of more than/);
    expect(milliseconds).toBeLessThan(15_000);
  });

  test("that sends a line without end is left after a MiB", () => {
    const endless = "exec cat /dev/zero >&3";
    const { message } = failure(() =>
      withAgent("", endless, (client) => client.ask("ping", {}, soon(20_000))),
    );
    expect(message).toBe(`the guest's agent sent a line of more than ${LONGEST_LINE} bytes`);
  });

  test("that goes away, or does not read, is an error", () => {
    const [ours, theirs] = socketPair("port");
    using client = new AgentClient(ours);
    theirs.close();
    expect(failure(() => client.ask("ping", {}, soon())).message).toMatch(
      /broken pipe|the end of its messages/,
    );
    const [full, unread] = socketPair("port");
    using _ = unread;
    using lines = new JsonLines(full, "it");
    const { message } = failure(() => lines.send("x".repeat(4 << 20), soon(100)));
    expect(message).toBe("it does not answer in time");
  });

  test("is not waited for when something beside it fails", () => {
    const [ours, theirs] = socketPair("port");
    const [beside, other] = socketPair("beside");
    using _ = theirs;
    using __ = other;
    using fd: Fd = beside;
    const look = () => {
      throw new Error("the machine is gone");
    };
    using client = new AgentClient(ours, { fd, look });
    writeAllWaiting(other, "x");
    const { message, milliseconds } = failure(() => client.ask("ping", {}, soon()));
    expect(message).toBe("the machine is gone");
    expect(milliseconds).toBeLessThan(15_000);
  });
});

describe("QEMU's monitor", () => {
  const GREETING = line({ QMP: { version: { qemu: { major: 7, minor: 2, micro: 0 } }, capabilities: [] } });
  const event = (name: string) => line({ event: name, timestamp: { seconds: 1, microseconds: 2 }, data: {} });
  const done = line({ return: {} });

  function withQmp<T>(sent: string, use: (qmp: Qmp) => T): T {
    const [ours, theirs] = socketPair("monitor");
    using peer = theirs;
    using qmp = new Qmp(ours);
    writeAllWaiting(peer, sent);
    return use(qmp);
  }

  test("greets, answers, and tells of events between", () => {
    const answers = [
      GREETING,
      done,
      event("STOP"),
      line({ return: { status: "internal-error", running: false } }),
    ];
    withQmp(answers.join("") + event("RESUME") + line({ return: "text" }), (qmp) => {
      qmp.begin(soon());
      expect(qmp.status(soon())).toBe("internal-error");
      expect(qmp.events).toEqual(["STOP"]);
      expect(qmp.ringBuffer("console", 10, soon())).toBe("text");
      expect(qmp.events).toEqual(["STOP", "RESUME"]);
    });
  });

  test("says what it can't do", () => {
    const error = line({ error: { class: "CommandNotFound", desc: "no such command" } });
    const refused = failure(() => withQmp(error, (qmp) => qmp.command("nothing", {}, soon())));
    expect(refused.message).toBe("QEMU: nothing: no such command");
  });

  test("is no QEMU's where it says something else", () => {
    const wrong = [
      line({ hello: 1 }),
      "x\n",
      GREETING + line(7),
      GREETING + GREETING,
      GREETING + line({ return: 1, x: 1 }),
    ];
    for (const sent of wrong.slice(0, 4))
      expect(failure(() => withQmp(sent, (qmp) => qmp.begin(soon()))).message).toMatch(/sent/);
    const floods = GREETING + event("A").repeat(1100);
    expect(failure(() => withQmp(floods, (qmp) => qmp.begin(soon()))).message).toContain("too many events");
    expect(failure(() => withQmp(done, (qmp) => qmp.readEvents())).message).toContain("an answer to nothing");
    expect(failure(() => withQmp(line({ return: 5 }), (qmp) => qmp.status(soon()))).message).toContain(
      "no status",
    );
  });
});

describe("what tells most of a console", () => {
  test("is hako's own word, or the kernel's last one, or the last line", () => {
    const panic =
      "[ 1.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200\r\n[1.1] Rebooting..\r\n";
    expect(tellingLine(`a\r\nhako: module x failed\r\n${panic}`)).toBe("hako: module x failed");
    expect(tellingLine(panic)).toBe(
      "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200",
    );
    expect(tellingLine("one\r\ntwo\r\n\r\n")).toBe("two");
    expect(tellingLine("")).toBeUndefined();
    expect(tellingLine("x".repeat(10_000))?.length).toBeLessThan(400);
  });
});
