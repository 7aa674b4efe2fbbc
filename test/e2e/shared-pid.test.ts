// A container is made in the pid namespace of another one whose programs look at all that appears there, as root with
// CAP_SYS_PTRACE (Kubernetes' shareProcessNamespace, --pid container:X): CVE-2019-5736, CVE-2016-9962.
import { describe, expect } from "bun:test";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kernelRelease } from "../../src/linux/uname";
import { Home, NEEDS, USER } from "./rootless-home";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  HAKO,
  needsHako,
  needsProgram,
  needsUserNamespace,
  type Result,
} from "./support";

const SOURCE = join(import.meta.dir, "fixtures/watch-processes.c");
const TRIES = 60;
const STAGE = "hako:[init]";
const RIGHTS = ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"];
const [MAJOR = 0, MINOR = 0] = kernelRelease();
/** Where procfs takes "pidns" the process is born when it has nothing of the host's any more. */
const isBornLast = MAJOR > 6 || (MAJOR === 6 && MINOR >= 18);

interface Maps {
  uidMappings: { containerID: number; hostID: number; size: number }[];
  gidMappings: { containerID: number; hostID: number; size: number }[];
}

interface Runtime {
  executable: string;
  hako(...words: string[]): Result;
  bundle(args: string[], change: (config: BundleConfig) => void): string;
  id(): string;
}

/** What a watcher finds while containers are made beside it, in the namespaces that a pod shares. */
async function findings(runtime: Runtime, box: Box, maps: Maps | undefined): Promise<string[]> {
  const [program, found, marker] = [box.path("watch-processes"), box.path("found"), box.path("marker")];
  expect(execute("gcc", ["-O1", "-static", "-o", program, SOURCE])).toMatchObject({ status: 0 });
  for (const file of [found, marker]) writeFileSync(file, "", { mode: 0o666 });
  chmodSync(found, 0o666);
  chmodSync(box.dir, 0o755);
  const change = (pid?: number) => (config: BundleConfig) => {
    const shared = [...["pid", "ipc", "network"], ...(maps === undefined ? [] : ["user"])];
    const path = (type: string) => `/proc/${pid}/ns/${type === "network" ? "net" : type}`;
    config.linux.namespaces = [
      ...shared.map((type) => (pid === undefined ? { type } : { type, path: path(type) })),
      { type: "mount" },
      { type: "uts" },
    ];
    Object.assign(config.linux, maps ?? {});
    config.mounts = config.mounts.filter(({ destination }) => ["/proc", "/dev"].includes(destination));
    config.mounts.push(
      { destination: "/bin/watch-processes", type: "bind", source: program, options: ["bind"] },
      { destination: "/found", type: "bind", source: found, options: ["bind", "rw"] },
    );
    for (const set of ["bounding", "effective", "permitted"])
      config.process.capabilities?.[set]?.push(...RIGHTS);
  };
  const watch = `exec watch-processes ${statSync(runtime.executable).ino} ${marker} > /found`;
  const watcher = runtime.id();
  const bundle = runtime.bundle(["sh", "-c", watch], change());
  const started = runtime.hako("run", "--detach", "--bundle", bundle, watcher);
  expect([started.status, started.stderr]).toEqual([0, ""]);
  const { pid } = JSON.parse(runtime.hako("state", watcher).stdout);
  const beside = runtime.bundle(["sleep", "600"], change(pid));
  const id = runtime.id();
  for (let round = 0; round < TRIES; round++) {
    const made = runtime.hako("create", "--bundle", beside, id);
    expect([made.status, made.stderr]).toEqual([0, ""]);
    expect(runtime.hako("delete", "--force", id).status).toBe(0);
  }
  runtime.hako("delete", "--force", watcher);
  const lines = readFileSync(found, "utf8").trim().split("\n");
  // it was looking
  expect(lines.map((line) => line.trim())).toContain(`saw ${STAGE}`);
  return lines.filter((line) => !line.startsWith("saw"));
}

function runtimeOf(box: Box): Runtime {
  return {
    executable: HAKO,
    hako: (...words) => box.hako(...words),
    bundle: (args, change) => box.bundle(args, change),
    id: () => box.id(),
  };
}

const range = (hostID: number, size: number): Maps => {
  const map = [{ containerID: 0, hostID, size }];
  return { uidMappings: map, gidMappings: map };
};

describe("a container in a pid namespace that others share", () => {
  const limit = 120_000;

  e2e(
    "neither hako's file, nor a file or a descriptor of the host",
    async () => {
      using box = new Box();
      const found = await findings(runtimeOf(box), box, undefined);
      expect(found.filter((line) => /^(executable|above) /.test(line))).toEqual([]);
      if (isBornLast) expect(found.filter((line) => line.startsWith("root "))).toEqual([]);
      // CAP_SYS_PTRACE reaches whatever it sees: what there is to see is a process of the container
      const own =
        /^(memory \S+ mem|descriptor \S+ (\/dev\/null|pipe:.*|socket:.*|anon_inode:.*|\/memfd:.*|\/tmp\/.*))$/;
      expect(found.filter((line) => !/^root /.test(line) && !own.test(line))).toEqual([]);
    },
    [needsHako, needsProgram("gcc")],
    limit,
  );

  for (const [name, maps] of [
    ["mapped to other ids", range(100_000, 65_536)],
    ["mapped to the same ids", range(0, 4_294_967_295)],
  ] as const) {
    e2e(
      `with a user namespace that is shared too, ${name}: nothing at all`,
      async () => {
        using box = new Box();
        const runtime = runtimeOf(box);
        const bundle: Runtime["bundle"] = (args, change) => {
          const dir = runtime.bundle(args, change);
          // whoever is root there may make the places of mounts
          const { hostID } = maps.uidMappings[0] ?? { hostID: 0 };
          execute("chown", ["-R", `${hostID}:${hostID}`, join(dir, "rootfs")]);
          return dir;
        };
        expect(await findings({ ...runtime, bundle }, box, maps)).toEqual([]);
      },
      [needsHako, needsProgram("gcc"), needsUserNamespace],
      limit,
    );
  }

  e2e(
    "of an ordinary user: nothing at all",
    async () => {
      using home = new Home();
      const runtime: Runtime = {
        executable: home.hakoPath,
        hako: (...words) => home.hako(...words),
        bundle: (args, change) => home.bundle(args, change),
        id: () => home.box.id(),
      };
      expect(await findings(runtime, home.box, range(USER, 1))).toEqual([]);
    },
    [...NEEDS, needsProgram("gcc")],
    limit,
  );
});
