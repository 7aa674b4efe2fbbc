// The library, on node and on Bun: test/e2e/sdk.test.ts installs it somewhere and runs this file there with each. HAKO_EXECUTABLE is hako, HAKO_ROOT
// a state directory of its own, and the working directory may be written.
import assert from "node:assert/strict";
import { spawn as spawnProcess } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  changes,
  container,
  findExecutable,
  type Policy,
  ProgramError,
  run,
  Sandbox,
  SandboxError,
  type State,
  spawn,
} from "@hako-runtime/sdk";

const root = process.env.HAKO_ROOT;
const hako = { root };
const script = (line: string) => ["sh", "-c", line];

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; !(await holds()); await sleep(20))
    if (Date.now() > end) throw new Error(`timed out: ${what}`);
}

/** The ids of the containers that there are. */
async function ids(): Promise<string[]> {
  const list = spawnProcess(findExecutable(), ["--root", String(root), "list", "-q"]);
  const chunks: Buffer[] = [];
  list.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(list, "close");
  return Buffer.concat(chunks).toString("utf8").split("\n").filter(Boolean);
}

/** Processes among whose words there are these. */
function processesWith(...words: string[]): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      const all = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return words.every((word) => all.includes(word));
    } catch {
      return false; // it has ended, or is no process
    }
  });
}

/** Whether a process has a descriptor of another one, by which it waits for its end. */
function holdsProcess(pid: string): boolean {
  try {
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    return open.some((link) => link.includes("[pidfd]"));
  } catch {
    return false; // something was closed meanwhile
  }
}

const noneIsLeft = () => until("no container is left", async () => (await ids()).length === 0);

function failsWith(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SandboxError, String(error));
    assert.equal(error.code, code);
    return true;
  };
}

test("run: what it has written, how it ended, what it has used", async () => {
  const result = await run({ ...hako, command: script("cat; echo problem >&2; exit 3"), input: "hello" });
  const { stdout, stderr, exitCode, signal, timedOut, truncated, usage, report } = result;
  assert.deepEqual({ stdout, stderr, truncated }, { stdout: "hello", stderr: "problem\n", truncated: false });
  assert.deepEqual({ exitCode, signal, timedOut }, { exitCode: 3, signal: null, timedOut: false });
  assert.ok(usage.wallMs !== null && usage.wallMs >= 0);
  assert.equal(report.hakoError, null);
});

test("run: without input there is none, and bytes come as they are", async () => {
  assert.equal((await run({ ...hako, command: ["cat"] })).stdout, "");
  const bytes = new TextEncoder().encode("hé\u{1f980}\n".repeat(100_000));
  const { stdout } = await run({ ...hako, command: ["cat"], input: bytes });
  assert.equal(stdout, "hé\u{1f980}\n".repeat(100_000));
});

test("run: one who doesn't read its input to the end does no harm", async () => {
  const result = await run({ ...hako, command: ["true"], input: "x".repeat(1 << 20) });
  assert.equal(result.exitCode, 0);
});

test("run: input may be a stream; one that fails is the program's end", async () => {
  const text = "line\n".repeat(100_000);
  writeFileSync("input", text);
  const command = ["cat"];
  assert.equal((await run({ ...hako, command, input: createReadStream("input") })).stdout, text);
  assert.equal((await run({ ...hako, command, input: new Blob([text]).stream() })).stdout, text);
  async function* endless() {
    for (;;) yield "y\n";
  }
  assert.equal((await run({ ...hako, command: ["head", "-n", "2"], input: endless() })).stdout, "y\ny\n");
  await using sandbox = await Sandbox.start(hako);
  assert.equal((await sandbox.exec(command, { input: createReadStream("input") })).stdout, text);
  await assert.rejects(run({ ...hako, command, input: createReadStream("none") }), { code: "ENOENT" });
});

test("run: output as bytes", async () => {
  const command = script("printf '\\377\\000\\200'; printf '\\376' >&2");
  const { stdout, stderr } = await run({ ...hako, command, encoding: "buffer" });
  assert.deepEqual([[...stdout], [...stderr]], [[255, 0, 128], [254]]);
  await using sandbox = await Sandbox.start(hako);
  assert.deepEqual([...(await sandbox.exec(command, { encoding: "buffer" })).stdout], [255, 0, 128]);
});

test("many at once and one after the other: no descriptor and no process of them stays", async () => {
  const own = () => ({
    descriptors: readdirSync("/proc/self/fd").length,
    children: readFileSync(`/proc/self/task/${process.pid}/children`, "utf8"),
  });
  const echo = async (word: string) => (await run({ ...hako, command: ["echo", word] })).stdout;
  await echo("first");
  const before = own();
  const words = Array.from({ length: 20 }, (_, index) => `${index}\n`);
  assert.deepEqual(await Promise.all(words.map((word) => echo(word.trim()))), words);
  const fails = (options: object) => run({ ...hako, command: ["sleep", "100"], ...options }).catch(() => {});
  for (let round = 0; round < 2; round++)
    await Promise.all([
      ...[
        echo("x"),
        fails({ signal: AbortSignal.timeout(100 * round) }),
        fails({ command: ["no-such-program"] }),
      ],
      ...[fails({ executable: "/no/hako" }), fails({ cwd: "/no/such" }), fails({ policy: { hides: [] } })],
    ]);
  await until("all is closed", () => own().descriptors <= before.descriptors);
  await until("all children have gone", () => own().children === before.children);
});

test("output that is not wanted takes no memory, and one that nobody reads holds the program up", async () => {
  const bytes = 300_000_000;
  const command = script(`head -c ${bytes} /dev/zero; echo done >&2`);
  const memory = process.memoryUsage().rss;
  const { stdout, stderr, truncated } = await run({ ...hako, command, maxOutputBytes: 1000 });
  assert.deepEqual([stdout.length, stderr, truncated], [1000, "done\n", true]);
  await using program = spawn({ ...hako, command });
  let told = "";
  program.stderr.on("data", (chunk: Buffer) => {
    told += chunk.toString("utf8");
  });
  await sleep(500);
  assert.equal(told, "");
  const more = process.memoryUsage().rss - memory;
  assert.ok(more < bytes / 2, `${more} bytes more`);
  // nobody reads any more: SIGPIPE
  program.stdout.destroy();
  assert.equal((await program.outcome).exitCode, 0);
});

test("run: variables, directories and limits are flags", async () => {
  writeFileSync("here", "kept");
  const env = { A: "b c", NOT: undefined };
  const command = script('printf "%s|%s|" "$A" "$NOT"; cat here; ulimit -n');
  const { stdout } = await run({ ...hako, command, env, ulimit: ["nofile=77"], readOnly: true });
  assert.equal(stdout, "b c||kept77\n");
  mkdirSync("below", { recursive: true });
  const { stdout: where } = await run({ ...hako, command: ["pwd"], cwd: "below" });
  assert.equal(where.trim(), resolve("below"));
});

test("run: a policy, to which flags add", async () => {
  mkdirSync("policed/.git/hooks", { recursive: true });
  const command = script("echo kept > file; echo x > .git/hooks/pre-commit; echo $A");
  const { stdout, exitCode, report } = await run({
    ...hako,
    command,
    cwd: "policed",
    policy: "agent",
    env: { A: "b" },
  });
  assert.deepEqual([stdout, exitCode, report.policy], ["b\n", 0, "agent"]);
  assert.equal(readFileSync("policed/file", "utf8"), "kept\n");
  assert.equal(existsSync("policed/.git/hooks/pre-commit"), false);
  await assert.rejects(run({ ...hako, command, policy: "no-such" }), failsWith("config"));
});

test("a policy that is an object, which is in no file", async () => {
  mkdirSync("object", { recursive: true });
  writeFileSync("object/secret", "x");
  // more than a pipe takes at once
  const more = Array.from({ length: 8000 }, (_, index) => `/no/such/directory/${index}`);
  const policy: Policy = { extends: "build", hide: ["secret", ...more], env: ["A=b"], pids: 50 };
  const place = {
    ...hako,
    cwd: "object",
    policy: process.getuid?.() === 0 ? policy : { ...policy, pids: undefined },
  };
  // by the shell alone, which opens and closes none for that
  const open =
    'n=0; while [ $n -lt 64 ]; do [ -e /proc/self/fd/$n ] && printf "$n "; n=$((n + 1)); done; true';
  const command = script(`cat secret | wc -c; echo $A; echo kept > file; ${open}`);
  const { stdout } = await run({ ...place, command, check: true });
  assert.match(stdout, /^0\nb\n0 1 2 (10 )?$/);
  assert.equal(readFileSync("object/file", "utf8"), "kept\n");
  await using sandbox = await Sandbox.start(place);
  assert.equal((await sandbox.exec(script("cat secret; echo $A"))).stdout, "b\n");
  const wrong = { hides: ["secret"] } as unknown as Policy;
  await assert.rejects(run({ ...place, command, policy: wrong }), (error) => {
    assert.match(String(error), /\/hides: unknown/);
    return failsWith("config")(error);
  });
});

test("run: where namespaces can't be made, Landlock alone, which the report tells", async (context) => {
  try {
    const command = script("echo in it; echo x > /etc/passwd || echo refused");
    const { stdout, id, report } = await run({ ...hako, command, weaker: "namespaces" });
    assert.deepEqual([stdout, id], ["in it\nrefused\n", null]);
    assert.ok(report.weaker.includes("namespaces"));
  } catch (error) {
    if (!(error instanceof SandboxError) || error.code !== "unsupported") throw error;
    context.diagnostic(`skipped: ${error.message}`);
  }
});

test("run: what the network's rules have refused", async (context) => {
  const command = script("getent hosts yes.example.org | wc -l; getent hosts no.example.org");
  const rules = ["allow:yes.example.org"];
  try {
    const { stdout, refused } = await run({ ...hako, command, network: rules });
    assert.equal(stdout.trim(), "1");
    assert.deepEqual(
      refused.map(({ host, why }) => [host, why]),
      [["no.example.org", "no rule"]],
    );
    await using sandbox = await Sandbox.start({ ...hako, network: rules });
    const lookUp = () => sandbox.exec(["getent", "hosts", "no.example.org"]);
    assert.equal((await lookUp()).exitCode, 2);
    await sandbox.container.allow("no.example.org");
    assert.equal((await lookUp()).exitCode, 0);
    await assert.rejects(sandbox.container.allow("no rule"), failsWith("usage"));
    assert.equal((await sandbox.close()).refused[0]?.count, 1);
  } catch (error) {
    if (!(error instanceof SandboxError) || error.code !== "unsupported") throw error;
    context.diagnostic(`skipped: ${error.message}`);
  }
});

test("run: what is more than asked for is thrown away, and the program goes on", async () => {
  const command = script("yes | head -c 300000; echo done > out/done");
  mkdirSync("out", { recursive: true });
  const result = await run({
    ...hako,
    command,
    volume: `${resolve("out")}:${resolve("out")}`,
    maxOutputBytes: 1000,
  });
  assert.equal(result.stdout.length, 1000);
  assert.equal(result.truncated, true);
  // a character is there, or it isn't
  const cut = await run({ ...hako, command: ["printf", "\u{feff}aé\u{1f980}b"], maxOutputBytes: 8 });
  assert.deepEqual([cut.stdout, cut.truncated], ["\u{feff}aé", true]);
  assert.equal(readFileSync("out/done", "utf8"), "done\n");
});

test("run: the time is over", async () => {
  const result = await run({ ...hako, command: ["sleep", "100"], timeout: 300 });
  assert.equal(result.timedOut, true);
  assert.equal(result.signal, "SIGKILL");
  assert.equal(result.stderr, "");
});

test("run: a signal, and memory", async () => {
  assert.equal((await run({ ...hako, command: script("kill -TERM $$") })).signal, "SIGTERM");
  if (process.getuid?.() !== 0) return;
  const result = await run({ ...hako, command: ["tail", "/dev/zero"], memory: 16 << 20 });
  assert.equal(result.oomKilled, true);
});

test("run: the sandbox failed, or the program did", async () => {
  await assert.rejects(run({ ...hako, command: ["no-such-program"] }), failsWith("command-not-found"));
  await assert.rejects(run({ ...hako, command: ["true"], memory: "much" }), failsWith("usage"));
  await assert.rejects(run({ ...hako, command: ["true"], rootfs: "/no/such" }), failsWith("system"));
  // what the command line's parser refuses is told before there is a report
  const nobody = { userns: "nobody's" } as unknown as { userns: "auto" };
  await assert.rejects(run({ ...hako, command: ["true"], ...nobody }), (error) => {
    assert.match(String(error), /--userns: "nobody's" is not one of/);
    return failsWith("usage")(error);
  });
  await assert.rejects(Sandbox.start({ ...hako, ...nobody }), failsWith("usage"));
  writeFileSync("other", "#!/bin/sh\nexit 9\n", { mode: 0o755 });
  await assert.rejects(
    run({ ...hako, command: ["true"], executable: resolve("other") }),
    failsWith("system"),
  );
  const nowhere = { ...hako, executable: "/no/hako" };
  const missing = { ...nowhere, command: ["true"] };
  await assert.rejects(run(missing), /\/no\/hako does not exist \(npm install @hako-runtime\/hako/);
  await assert.rejects(run(missing), failsWith("not-found"));
  await assert.rejects(container("x", nowhere).state(), failsWith("not-found"));
  await assert.rejects(
    run({ ...hako, command: ["true"], cwd: "/no/such" }),
    /working directory \/no\/such does not/,
  );
  // of another version
  writeFileSync("old", "#!/bin/sh\necho 'hako: unknown flag --die-with' >&2; exit 2\n", { mode: 0o755 });
  await assert.rejects(
    run({ ...hako, command: ["true"], executable: resolve("old") }),
    /unknown flag --die-with \(the library is for hako \d+\.\d+/,
  );
  await assert.rejects(run({ ...hako, command: script("exit 7"), check: true }), (error) => {
    assert.ok(error instanceof ProgramError);
    assert.equal(error.result.exitCode, 7);
    assert.match(error.message, /^sh ended with status 7$/);
    return true;
  });
  assert.equal((await run({ ...hako, command: ["true"], check: true })).exitCode, 0);
  await noneIsLeft();
});

async function refused(call: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.match(String(error), message);
    return failsWith("usage")(error);
  });
}

test("what TypeScript would refuse is refused, and nothing is started", async () => {
  const words = { ...hako, command: ["true"] };
  const some = (options: object) => run({ ...words, ...options });
  await refused(some({ memry: "1G" }), /run has no option "memry"/);
  await refused(some({ constructor: "1G" }), /run has no option "constructor"/);
  await refused(some({ readOnly: "yes" }), /run: readOnly is "yes", not true or false/);
  await refused(some({ command: "ls -l" }), /command is "ls -l", not a list of words/);
  await refused(some({ changes: null }), /changes is null, not a text/);
  await refused(some({ policy: null }), /policy is null, not a text or an object/);
  await refused(some({ hide: [{}] }), /hide is object, not a text or a list/);
  await refused(some({ env: ["A=b"] }), /env is object, not an object of texts/);
  await refused(some({ input: 5 }), /input is number, not a text, bytes/);
  await refused(some({ maxOutputBytes: -1 }), /maxOutputBytes is number, not a number of bytes/);
  await refused(some({ signal: {} }), /signal is object, not an AbortSignal/);
  await refused(some({ encoding: "latin1" }), /encoding is "latin1", not "buffer"/);
  await refused(some({ stdio: "inherit" }), /run has no option "stdio"/);
  const limited = Object.create({ ...words, ulimit: ["nofile=10:10"] });
  await refused(run(limited), /run: its options are no plain object: what it inherits would be dropped/);
  await refused(some({ policy: Object.create({ hide: ["~"] }) }), /policy is no plain object/);
  await run(Object.assign(Object.create(null), words));
  await refused(
    Sandbox.start({ ...hako, ...{ command: ["true"] } }),
    /Sandbox.start has no option "command"/,
  );
  const start = (options: unknown) => Sandbox.start(options as object);
  await refused(
    start(Object.create({ ...hako, network: "none" })),
    /Sandbox.start: its options are no plain/,
  );
  await refused(start(null), /Sandbox.start: options is null, not an object of options/);
  await refused(start({ ...hako, id: null }), /Sandbox.start: id is null, not a text/);
  await refused(start({ ...hako, id: "" }), /Sandbox.start: id is "", not a text that is not empty/);
  assert.throws(() => spawn({ ...words, ...{ check: true } }), failsWith("usage"));
  await using sandbox = await Sandbox.start({ ...hako, memory: undefined });
  await refused(sandbox.exec(["true"], { ...{ memory: "1G" } } as object), /exec has no option "memory"/);
  await refused(sandbox.exec("ls" as unknown as string[]), /command is "ls"/);
  await assert.rejects(sandbox.exec(["--", "ls"]), failsWith("command-not-found"));
  assert.throws(() => sandbox.spawn(["true"], { ...{ maxOutputBytes: 1 } } as object), failsWith("usage"));
});

test("what no process can be given is the sandbox's error, as all that keeps hako from being started", async () => {
  const start = (options: object) => run({ ...hako, command: ["true"], ...options });
  await assert.rejects(start({ command: ["echo", "x".repeat(1 << 20)] }), /too long/);
  await assert.rejects(start({ command: ["echo", "a\0b"] }), failsWith("usage"));
  await assert.rejects(start({ cwd: import.meta.filename }), failsWith("not-found"));
  await assert.rejects(container("a\0b", hako).state(), failsWith("usage"));
  // a relative path is the caller's, whatever the program's working directory is
  symlinkSync(findExecutable(), "linked-hako");
  assert.equal((await start({ executable: "./linked-hako", cwd: "/" })).exitCode, 0);
  writeFileSync(
    "descriptors.mjs",
    `import { run, SandboxError } from "@hako-runtime/sdk";
    const runs = Array.from({ length: 20 }, () => run({ root: process.env.HAKO_ROOT, command: ["true"] }));
    const failed = (await Promise.allSettled(runs)).flatMap(({ reason }) => reason ?? []);
    console.log(failed.length > 0, failed.every((error) => error instanceof SandboxError && error.code === "system"));`,
  );
  const few = spawnProcess("sh", ["-c", 'ulimit -n 45; exec "$0" descriptors.mjs', process.execPath]);
  let told = "";
  for (const stream of [few.stdout, few.stderr])
    stream.on("data", (chunk: Buffer) => {
      told += chunk.toString("utf8");
    });
  await once(few, "close");
  assert.equal(told, "true true\n");
});

test("input that has neither texts nor bytes is the program's end; other views of bytes are bytes", async () => {
  async function* numbers() {
    yield "a";
    yield 1;
  }
  const input = numbers() as AsyncIterable<string>;
  await assert.rejects(run({ ...hako, command: ["cat"], input }), /input has a number/);
  const words = new Uint16Array([1, 2, 3]).subarray(1);
  assert.equal((await run({ ...hako, command: ["wc", "-c"], input: words })).stdout.trim(), "4");
});

test("run: aborted before and while it runs; nothing is left", async () => {
  await assert.rejects(run({ ...hako, command: ["true"], signal: AbortSignal.abort() }), {
    name: "AbortError",
  });
  for (const milliseconds of [0, 10, 40, 400]) {
    const signal = AbortSignal.timeout(milliseconds);
    await assert.rejects(run({ ...hako, command: ["sleep", "100"], signal }), { name: "TimeoutError" });
  }
  await noneIsLeft();
});

test("spawn: streams both ways, and a signal", async () => {
  const command = script('trap "exit 5" TERM; read -r line; echo "<$line>"; sleep 100 & wait');
  await using program = spawn({ ...hako, command });
  program.stdin.write("one\n");
  const [answer] = await once(program.stdout, "data");
  assert.equal(String(answer), "<one>\n");
  program.kill();
  assert.equal((await program.outcome).exitCode, 5);
});

test("spawn: KILL and close end all of it; what hako refuses is told by the outcome", async () => {
  for (const end of ["kill", "close", "abort"]) {
    const abort = new AbortController();
    const program = spawn({ ...hako, command: script("sleep 100 & echo ready; wait"), signal: abort.signal });
    await once(program.stdout, "data");
    if (end === "kill") program.kill("SIGKILL");
    else if (end === "abort") abort.abort(new Error("enough"));
    else await program.close();
    if (end === "abort") await assert.rejects(program.outcome, { message: "enough" });
    else assert.equal((await program.outcome).signal, "SIGKILL");
  }
  await assert.rejects(spawn({ ...hako, command: ["true"], cpus: "many" }).outcome, failsWith("usage"));
  // before hako has begun to listen to signals
  const early = spawn({ ...hako, command: ["sleep", "100"] });
  early.kill();
  const { signal, exitCode, refused } = await early.outcome;
  assert.deepEqual({ signal, exitCode, refused }, { signal: "SIGTERM", exitCode: 143, refused: [] });
  await noneIsLeft();
});

test("spawn: the caller's own streams", async () => {
  writeFileSync(
    "inherits.mjs",
    `import { spawn } from "@hako-runtime/sdk";
    const program = spawn({ root: process.env.HAKO_ROOT, command: ["cat"], stdio: "inherit" });
    try { program.stdout; } catch (error) { console.log(error.name); }
    console.log((await program.outcome).exitCode);`,
  );
  const caller = spawnProcess(process.execPath, ["inherits.mjs"], { stdio: ["pipe", "pipe", "inherit"] });
  let told = "";
  caller.stdout.on("data", (chunk: Buffer) => {
    told += chunk.toString("utf8");
  });
  caller.stdin.end("through\n");
  await once(caller, "close");
  assert.equal(told, "TypeError\nthrough\n0\n");
});

test("Sandbox: commands share it, also at once", async () => {
  await using sandbox = await Sandbox.start(hako);
  assert.equal((await sandbox.exec(script("echo 1 > /tmp/file; exit 2"))).exitCode, 2);
  const all = await Promise.all([1, 2, 3, 4].map((n) => sandbox.exec(script(`cat /tmp/file; echo ${n}`))));
  assert.deepEqual(
    all.map(({ stdout }) => stdout),
    ["1\n1\n", "1\n2\n", "1\n3\n", "1\n4\n"],
  );
  const options = { cwd: "/usr", env: { A: "b" }, input: "in" };
  assert.equal((await sandbox.exec(script("pwd; echo $A; cat"), options)).stdout, "/usr\nb\nin");
  assert.equal((await sandbox.exec(["sleep", "100"], { timeout: 200 })).timedOut, true);
  await assert.rejects(sandbox.exec(["sleep", "100"], { signal: AbortSignal.timeout(300) }), {
    name: "TimeoutError",
  });
  await assert.rejects(sandbox.exec(["no-such-program"]), failsWith("command-not-found"));
  assert.equal(existsSync("/tmp/file"), false);
});

test("Sandbox: a command comes back though it has left something behind, which ends with the sandbox", async () => {
  const sandbox = await Sandbox.start(hako);
  const started = Date.now();
  const { stdout } = await sandbox.exec(script("sleep 100 & echo started"));
  assert.equal(stdout, "started\n");
  assert.ok(Date.now() - started < 30_000);
  // what was started by one whose time is over ends with it, whatever session it has made
  const far = script("(setsid sleep 101 &); setsid sh -c 'trap : TERM; sleep 102; sleep 103' & sleep 104");
  assert.equal((await sandbox.exec(far, { timeout: 300, grace: 100 })).timedOut, true);
  await assert.rejects(sandbox.exec(far, { signal: AbortSignal.timeout(500) }), { name: "TimeoutError" });
  const all = async () => (await sandbox.exec(script("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))).stdout;
  await until("only the first one is left", async () => !/sleep 10[1-4]/.test(await all()));
  assert.match(await all(), /sleep 100/);
  const runs = sandbox.spawn(["cat"]);
  runs.stdin.write("x");
  await once(runs.stdout, "data");
  const { exitCode, usage } = await sandbox.close();
  assert.equal(exitCode, 0);
  assert.ok(usage.wallMs !== null);
  assert.equal((await runs.outcome).signal, "SIGKILL");
  assert.equal((await sandbox.closed).exitCode, 0);
  await assert.rejects(sandbox.exec(["true"]), failsWith("not-found"));
  await noneIsLeft();
});

test("Sandbox: a root file system with one program in it is enough; none in it ends the sandbox", async (context) => {
  const busybox = ["/usr/bin/busybox", "/bin/busybox"].find(existsSync);
  if (busybox === undefined) return context.diagnostic("skipped: busybox is not installed");
  mkdirSync("almost-empty", { recursive: true });
  copyFileSync(busybox, "almost-empty/busybox");
  await using sandbox = await Sandbox.start({ ...hako, rootfs: "almost-empty" });
  const { stdout } = await sandbox.exec(["/busybox", "sh", "-c", "/busybox kill -TERM 1; echo /*"]);
  assert.match(stdout, /^(\/busybox|\/dev|\/proc|\/sys|\s)+$/);
  assert.equal((await sandbox.exec(["/busybox", "echo", "here"])).stdout, "here\n");
  assert.equal((await sandbox.close()).exitCode, 0);
  assert.deepEqual(readdirSync("almost-empty"), ["busybox"]);
});

test("Sandbox: one that can't be made is told at once", async () => {
  await assert.rejects(Sandbox.start({ ...hako, memory: "much" }), failsWith("usage"));
  await assert.rejects(Sandbox.start({ ...hako, rootfs: "/no/such" }), failsWith("system"));
  await assert.rejects(Sandbox.start({ ...hako, signal: AbortSignal.timeout(0) }), { name: "TimeoutError" });
  await noneIsLeft();
});

test("container: state, stats, events, exec, kill, wait, delete", async () => {
  const program = spawn({ ...hako, id: "sdk-named", command: script("echo ready; exec sleep 100") });
  await once(program.stdout, "data");
  const named = container("sdk-named", hako);
  const state: State = await named.state();
  assert.equal(state.status, "running");
  if (process.getuid?.() === 0) {
    assert.equal(typeof (await named.stats()).cpu.usage.total, "number");
    for await (const event of named.events({ intervalMs: 20 })) {
      assert.equal(event.type, "stats");
      break;
    }
  }
  assert.equal((await named.exec(["echo", "in it"])).stdout, "in it\n");
  const waiting = named.wait();
  await until("somebody waits", () => processesWith("wait", "sdk-named").some(holdsProcess));
  await named.kill("KILL", { all: true });
  assert.equal((await waiting).signal, "SIGKILL");
  assert.equal((await program.outcome).signal, "SIGKILL");
  await named.delete({ force: true });
  await assert.rejects(named.state(), failsWith("not-found"));
  await assert.rejects(named.wait({ signal: AbortSignal.abort() }), { name: "AbortError" });
  await assert.rejects(container("no/id", hako).kill(), failsWith("usage"));
});

test("container: who waits for one ends with its caller", async () => {
  writeFileSync(
    "waiter.mjs",
    `import { container } from "@hako-runtime/sdk";
    const held = container(process.argv[2], { root: process.env.HAKO_ROOT });
    held.wait();
    for await (const event of held.events({ intervalMs: 3600000 })) console.log(event);`,
  );
  await using sandbox = await Sandbox.start(hako);
  const waiter = spawnProcess(process.execPath, ["waiter.mjs", sandbox.id], { stdio: "inherit" });
  const waiting = () => ["wait", "events"].flatMap((word) => processesWith(word, sandbox.id));
  const most = process.getuid?.() === 0 ? 2 : 1;
  await until("both wait", () => waiting().length === most);
  waiter.kill("SIGKILL");
  await until("none waits", () => waiting().length === 0);
  assert.equal((await sandbox.container.state()).status, "running");
});

test("changes: kept apart, shown, taken or thrown away", async () => {
  mkdirSync("project/.git/hooks", { recursive: true });
  writeFileSync("project/file", "old\n");
  const command = script("echo new > file; echo x > other; echo sh > .git/hooks/pre-commit");
  await run({ ...hako, command, cwd: "project", changes: resolve("kept"), check: true });
  assert.equal(readFileSync("project/file", "utf8"), "old\n");
  const kept = changes("kept", hako);
  const list = await kept.list();
  const below = (name: string) => list.find(({ path }) => path === resolve("project", name));
  assert.equal(below("file")?.change, "changed");
  assert.equal(below("other")?.change, "added");
  assert.match(below(".git/hooks/pre-commit")?.noteworthy ?? "", /git/);
  assert.match(await kept.diff({ paths: [resolve("project/file")] }), /-old\n\+new/);
  await kept.apply({ paths: [resolve("project/file")] });
  assert.equal(readFileSync("project/file", "utf8"), "new\n");
  writeFileSync("project/other", "the host's own");
  await assert.rejects(kept.apply(), failsWith("state"));
  await kept.discard();
  assert.deepEqual(await kept.list(), []);
  assert.equal(existsSync("project/.git/hooks/pre-commit"), false);
});

test("changes: what a call hasn't is refused, and nothing is applied or thrown away", async () => {
  mkdirSync("chosen", { recursive: true });
  const command = script("echo x > one; echo x > two");
  await run({ ...hako, command, cwd: "chosen", changes: resolve("kept-chosen"), check: true });
  const kept = changes(resolve("kept-chosen"), { ...hako, cwd: "chosen" });
  const apply = (options: unknown) => kept.apply(options as object);
  const discard = kept.discard.bind(kept) as (options?: object) => Promise<void>;
  await refused(apply({ path: ["one"] }), /apply has no option "path"/);
  await refused(apply({ paths: "one" }), /apply: paths is "one", not a list of paths/);
  await refused(apply({ paths: null }), /paths is null/);
  await refused(apply({ force: "no" }), /force is "no", not true or false/);
  await refused(apply(["one"]), /apply: options is object, not an object of options/);
  await refused(apply("one"), /options is "one"/);
  await refused(apply(null), /options is null/);
  await refused(apply(Object.create({ paths: ["one"] })), /apply: its options are no plain object/);
  await refused(kept.list({ ...{ force: true } } as object), /list has no option "force"/);
  await refused(kept.diff({ ...{ path: ["one"] } } as object), /diff has no option "path"/);
  await refused(discard({ paths: ["one"] }), /discard has no option "paths"/);
  assert.throws(() => changes("kept-chosen", { ...{ rot: root } } as object), failsWith("usage"));
  // none is not all
  await kept.apply({ paths: [] });
  assert.deepEqual([await kept.list({ paths: [] }), await kept.diff({ paths: [] })], [[], ""]);
  assert.deepEqual(readdirSync("chosen"), []);
  await kept.apply({ paths: ["one"] });
  assert.deepEqual(readdirSync("chosen"), ["one"]);
  await kept.apply();
  assert.deepEqual(readdirSync("chosen").sort(), ["one", "two"]);
});

test("container: what a call hasn't is refused, and nothing is done", async () => {
  await using sandbox = await Sandbox.start(hako);
  const named = container(sandbox.id, hako);
  const some = (options: object): object => options;
  const without = (call: () => Promise<unknown>) => call.bind(named) as (options: object) => Promise<unknown>;
  await refused(named.kill("KILL", some({ al: true })), /kill has no option "al"/);
  await refused(named.kill("KILL", some({ all: 1 })), /kill: all is number, not true or false/);
  await refused(named.delete(some({ forced: true })), /delete has no option "forced"/);
  await refused(named.delete(some({ force: "yes" })), /delete: force is "yes"/);
  await refused(named.wait(some({ timeout: 1 })), /wait has no option "timeout"/);
  await refused(named.wait(some({ signal: "TERM" })), /wait: signal is "TERM", not an AbortSignal/);
  await refused(named.events(some({ interval: 1 })).next(), /events has no option "interval"/);
  for (const intervalMs of ["5s", 0, Number.NaN])
    await refused(
      named.events(some({ intervalMs })).next(),
      /intervalMs is .*, not a number of milliseconds/,
    );
  await refused(without(named.state)({ root }), /state has no option "root"/);
  await refused(without(named.stats)({ signal: AbortSignal.abort() }), /stats has no option "signal"/);
  assert.throws(() => container(sandbox.id, some({ rot: root })), /container has no option "rot"/);
  assert.throws(() => container(sandbox.id, some(Object.create(hako))), failsWith("usage"));
  assert.equal((await named.state()).status, "running");
});

const PROGRAM = `
import { Sandbox, spawn } from "@hako-runtime/sdk";
import { spawn as spawnProcess } from "node:child_process";
import { Worker, isMainThread } from "node:worker_threads";
const hako = { root: process.env.HAKO_ROOT };
async function hold() {
  const sandbox = await Sandbox.start(hako);
  sandbox.spawn(["sh", "-c", "sleep 100 & wait"]);
  await new Promise((done) => spawn({ ...hako, command: ["sh", "-c", "echo ready; exec sleep 100"] }).stdout.on("data", done));
  // another child, which goes on: it has no part of the sandboxes'
  console.log(spawnProcess("sleep", ["30"], { stdio: "ignore" }).pid);
}
if (!isMainThread || process.argv[2] === "main") await hold();
else {
  const worker = new Worker(new URL(import.meta.url));
  process.stdin.on("data", () => worker.terminate());
  setInterval(() => {}, 1000);
}
`;

for (const where of ["main", "worker"])
  test(`a caller that is killed leaves nothing: ${where}`, async () => {
    writeFileSync("caller.mjs", PROGRAM);
    const caller = spawnProcess(process.execPath, ["caller.mjs", where], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [child] = await once(caller.stdout, "data");
    assert.equal((await ids()).length, 2);
    caller.kill("SIGKILL");
    await noneIsLeft();
    process.kill(Number(String(child)));
  });

test("a worker that is terminated leaves nothing, and the others go on", async () => {
  writeFileSync("caller.mjs", PROGRAM);
  const caller = spawnProcess(process.execPath, ["caller.mjs", "worker"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(caller.stdout, "data");
  await using other = await Sandbox.start(hako);
  caller.stdin.write("end\n");
  await until("one is left", async () => (await ids()).length === 1);
  assert.equal((await other.exec(["echo", "here"])).stdout, "here\n");
  assert.equal(caller.exitCode, null);
  caller.kill();
});
