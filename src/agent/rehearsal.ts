import { type AgentCall, type AgentData, streamPort } from "../drivers/vm/channel/agent-protocol";
import { firstStageProgram } from "../drivers/vm/guest/first-stage";
import { SIG } from "../linux/call/constants";
import type { Step } from "../linux/call/step";
import type { Changes } from "../linux/file/epoll";
import { makeDirectories, readText, removeTree, writeBytes } from "../linux/file/file";
import { randomBytes } from "../linux/kernel/random";
import type { Config } from "../oci/config";
import { defaultConfig } from "../oci/default";
import { exactJson } from "../oci/json";
import type { Containers } from "./containers";
import { releaseTrees } from "./guest";

/** A tree beside those of the host. */
const TREE = { path: "/run/hako/rehearsal", name: "../rehearsal" } as const;
/** What is done for the first time takes the longest: code that was compiled is in the memory that is saved. */
const TIMES = 3;
/** Of file systems: a kernel may be without, and then has another way to a container's files. */
const NEEDED = ["9p", "overlay"] as const;
const ENTROPY = 64;
const LOOK_MS = 1000;
const MOST_LOOKS = 60;
/** The only interface of their network. */
const LOOPBACK = { index: 1, name: "lo", mtu: 65536, up: true, settings: {} } as const;
/** SECCOMP_RET_ALLOW, always. */
const FILTER = { program: Uint8Array.of(6, 0, 0, 0, 0, 0, 0xff, 0x7f).toBase64(), flags: 0 };

/** A program that waits for its end, and one that says something and ends. */
const PROGRAMS: Readonly<Record<string, readonly Step[]>> = {
  wait: [{ what: "wait", call: "ppoll", args: [0, 0, 0, 0, 0], success: "never" }],
  end: [
    { what: "write", call: "write", args: [1, Uint8Array.of(0x0a), 1] },
    { what: "end", call: "exit_group", args: [0], success: "never" },
  ],
};

/** How an agent answers a request, from what it was sent to what it sends. */
export type AnswerRequest = <Call extends AgentCall>(call: Call, data: AgentData<Call>) => unknown;

/** Has an agent do what it is there for: make containers and further processes, and end them. Nothing of it is left in its `containers`. */
export function rehearse(answer: AnswerRequest, containers: Containers, changes: Changes): void {
  const known = readText("/proc/filesystems");
  if (!NEEDED.every((type) => known.includes(`\t${type}\n`))) return;
  makeDirectories(TREE.path, 0o755);
  for (const [name, steps] of Object.entries(PROGRAMS))
    writeBytes(`${TREE.path}/${name}`, firstStageProgram(steps), 0o755);
  for (let time = 0; time < TIMES; time++) {
    // what makes a restored machine one of its own: this one gives itself what it has
    const entropy = randomBytes(ENTROPY).toBase64();
    answer("renew", { entropy, time: Date.now(), hostName: "hako" });
    answer("clock", { time: Date.now() });
    once(answer, containers, `rehearsal${time}`, time > 0);
    for (let looks = 0; !containers.haveEnded && looks < MOST_LOOKS; looks++) {
      changes.wait(LOOK_MS);
      containers.look();
    }
    containers.abandon();
    answer("delete", { container: `rehearsal${time}` });
  }
  releaseTrees();
  removeTree(TREE.path);
}

function once(answer: AnswerRequest, containers: Containers, container: string, ownInit: boolean): void {
  const config: Config = { ...defaultConfig({ rootless: false }), hostname: container };
  const process = { ...config.process, terminal: false, user: { uid: 0, gid: 0 }, cwd: "/" };
  const linux = { ...config.linux, seccomp: { defaultAction: "SCMP_ACT_ALLOW" as const } };
  const first = exactJson({ ...config, linux, process: { ...process, args: ["/wait"] } });
  answer("ping", {});
  // no host could name this tree
  containers.create({
    ...{
      container,
      bundle: "/",
      tree: TREE.name,
      config: first,
      filter: FILTER,
      ownInit,
      noNewKeyring: false,
    },
    ...{ writesRootfs: false, writesVolumes: false, port: streamPort(0) },
  });
  answer("network", { container, links: [LOOPBACK], sysctls: {}, entries: [] });
  answer("start", { container });
  answer("stats", { container });
  answer("exec", {
    container,
    process: exactJson({ ...process, args: ["/end"] }),
    gathers: false,
    port: streamPort(1),
  });
  answer("signal", { container, signal: SIG.KILL, all: false });
}
