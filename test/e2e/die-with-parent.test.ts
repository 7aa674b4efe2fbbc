// `hako run --rootfs --die-with-parent`: the container ends with hako, and with the process that has started it.
import { expect } from "bun:test";
import { readlinkSync } from "node:fs";
import { Box, e2e, execute, HAKO, needsHako, needsProgram, until } from "./support";

const TIME = "86399";

function words(box: Box, id: string, flags: string[] = []): string[] {
  const command = ["sh", "-c", `sleep ${TIME} & wait`];
  return [
    HAKO,
    "--root",
    box.root,
    "run",
    "--rootfs",
    "/",
    "--die-with-parent",
    ...flags,
    id,
    "--",
    ...command,
  ];
}

/** Not there, to begin with. */
async function running(box: Box, id: string): Promise<void> {
  await until(`${id} runs`, () => /"running"/.test(box.hako("state", id).stdout));
}

async function gone(box: Box): Promise<void> {
  await until("no container is left", () => box.ok("list", "-q").stdout === "");
}

e2e("with the process that has started it nothing stays", async () => {
  using box = new Box();
  for (const flags of [[], ["--tty"], ["--user", "65534"]]) {
    const id = box.id();
    const parent = Bun.spawn([
      "sh",
      "-c",
      `"$@" </dev/null >/dev/null & wait`,
      "sh",
      ...words(box, id, flags),
    ]);
    await running(box, id);
    parent.kill("SIGKILL");
    await gone(box);
  }
}, [needsHako]);

e2e("what waits for that is no hako, but some KiB", async () => {
  using box = new Box();
  const id = box.id();
  const hako = Bun.spawn(words(box, id));
  await until("an attendant has its place", () =>
    readlinkSync(`/proc/${hako.pid}/exe`).includes("attendant"),
  );
  hako.kill("SIGTERM");
  expect(await hako.exited).toBe(143);
  await gone(box);
}, [needsHako]);

e2e("in a pid namespace in which the parent has no number", async () => {
  using box = new Box();
  // unshare(1) without --fork: the child is the first process there, and its parent is outside
  const parent = Bun.spawn([
    "unshare",
    "--pid",
    "sh",
    "-c",
    'true; "$@"; true',
    "sh",
    ...words(box, box.id()),
  ]);
  await until("it is being made", () => box.ok("list", "-q").stdout !== "");
  await Bun.sleep(500);
  parent.kill("SIGKILL");
  await gone(box);
}, [needsHako]);

e2e("so it is when the parent ends while the container is being made", async () => {
  using box = new Box();
  for (let round = 0; round < 5; round++) {
    const id = box.id();
    const line = `"$@" </dev/null >/dev/null 2>&1 & until [ -d ${box.root}/${id} ]; do :; done`;
    execute("sh", ["-c", line, "sh", ...words(box, id)]);
    await gone(box);
  }
}, [needsHako]);

e2e("with hako's own end, though it comes by SIGKILL, no process stays", async () => {
  using box = new Box();
  for (const flags of [[], ["--user", "65534", "--cap-drop", "ALL"], ["--timeout", "1h"]]) {
    const id = box.id();
    const hako = Bun.spawn(words(box, id, flags));
    await running(box, id);
    hako.kill("SIGKILL");
    await box.waitFor(id, "stopped");
    box.ok("delete", id);
  }
}, [needsHako]);

e2e("the end of a thread that has started it is not the end of the process", async () => {
  using box = new Box();
  const id = box.id();
  const program = `
import subprocess, sys, threading
def start(): subprocess.Popen(sys.argv[1:])
thread = threading.Thread(target=start)
thread.start(); thread.join()
sys.stdin.read()`;
  const parent = Bun.spawn(["python3", "-c", program, ...words(box, id)], { stdin: "pipe" });
  await running(box, id);
  await Bun.sleep(300);
  expect(box.state(id).status).toBe("running");
  parent.stdin.end();
  await parent.exited;
  await gone(box);
}, [needsHako, needsProgram("python3")]);

e2e("without it the container outlives both; it is no flag for a container that nothing waits for", async () => {
  using box = new Box();
  const id = box.id();
  const usual = words(box, id).filter((word) => word !== "--die-with-parent");
  const hako = Bun.spawn(usual);
  await running(box, id);
  // hako's first process, the shell, and what that has started: until the program runs all ends with hako
  await until("the program runs", () => JSON.parse(box.ok("ps", "--json", id).stdout).length === 3);
  hako.kill("SIGKILL");
  await hako.exited;
  expect(box.state(id).status).toBe("running");
  box.ok("delete", "--force", id);
  expect(box.hako("run", "--rootfs", "/", "--die-with-parent", "-d", "--", "true").status).toBe(2);
  expect(execute(HAKO, ["run", "--die-with-parent", "-b", "/", "x"]).stderr).toContain("needs --rootfs");
}, [needsHako]);
