import { streamPort } from "../drivers/vm/channel/agent-protocol";
import { firstStageProgram } from "../drivers/vm/guest/first-stage";
import { SIG } from "../linux/call/constants";
import type { Step } from "../linux/call/step";
import type { Changes } from "../linux/file/epoll";
import { makeDirectories, readText, removeTree, writeBytes } from "../linux/file/file";
import type { Config } from "../oci/config";
import { defaultConfig } from "../oci/default";
import { exactJson } from "../oci/json";
import { Containers } from "./containers";
import { releaseTrees } from "./guest";

/** A tree beside those of the host. */
const TREE = { path: "/run/hako/rehearsal", name: "../rehearsal" } as const;
/** What is done for the first time takes the longest: code that was compiled is in the memory that is saved. */
const TIMES = 3;
/** Of file systems: a kernel may be without, and then has another way to a container's files. */
const NEEDED = ["9p", "overlay"] as const;
const LOOK_MS = 1000;
const MOST_LOOKS = 60;
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

/** Does once what an agent is there for: makes containers and further processes, and ends them. Nothing of it is left. */
export function rehearse(changes: Changes): void {
  const known = readText("/proc/filesystems");
  if (!NEEDED.every((type) => known.includes(`\t${type}\n`))) return;
  makeDirectories(TREE.path, 0o755);
  for (const [name, steps] of Object.entries(PROGRAMS))
    writeBytes(`${TREE.path}/${name}`, firstStageProgram(steps), 0o755);
  for (let time = 0; time < TIMES; time++) once(changes, `rehearsal${time}`, time > 0);
  releaseTrees();
  removeTree(TREE.path);
}

function once(changes: Changes, container: string, ownInit: boolean): void {
  const containers = new Containers(changes);
  const config: Config = { ...defaultConfig({ rootless: false }), hostname: container };
  const process = { ...config.process, terminal: false, user: { uid: 0, gid: 0 }, cwd: "/" };
  const linux = { ...config.linux, seccomp: { defaultAction: "SCMP_ACT_ALLOW" as const } };
  const first = exactJson({ ...config, linux, process: { ...process, args: ["/wait"] } });
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
  containers.start(container);
  containers.stats(container);
  containers.exec({ container, process: exactJson({ ...process, args: ["/end"] }), port: streamPort(1) });
  containers.signal(container, SIG.KILL, false);
  for (let looks = 0; !containers.haveEnded && looks < MOST_LOOKS; looks++) {
    changes.wait(LOOK_MS);
    containers.look();
  }
  containers.abandon();
  containers.delete(container);
}
