// Configs with random faults: validate and create neither crash nor hang, name what is wrong, and leave nothing.
import { expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bundleFindings } from "../../src/container/validate/validate";
import { problemLine } from "../../src/oci/config";
import { defaultBundleConfig } from "./bundle-config";
import { Box, busyboxRootfs, e2e, expectUnchanged, hostSnapshot, needsHako } from "./support";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A fixed sequence: a failure is the same tomorrow. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}

const STRANGE: Json[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e300,
  0.5,
  "",
  "/",
  "..",
  "../..",
  "a".repeat(5000),
  "\u0000",
  "\n",
  "true",
  "/proc/self/fd/3",
  [],
  {},
  [null],
  [[]],
  { "": null },
  { "a/b~c": 1 },
  "SCMP_ACT_ALLOW",
  "rw",
  "user",
  "cgroup",
];

/** A config in which every part of the schema has something to break. */
function wholeConfig(rootfs: string, cgroupsPath: string): Json {
  const config = defaultBundleConfig(["true"], cgroupsPath);
  config.root.path = rootfs;
  const more = {
    annotations: { "org.example": "x" },
    hooks: { poststop: [{ path: "/bin/true", args: ["true"], env: ["A=b"], timeout: 5 }] },
  };
  const process = {
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 64, hard: 64 }],
    scheduler: { policy: "SCHED_OTHER", nice: 1, flags: [] },
    ioPriority: { class: "IOPRIO_CLASS_BE", priority: 4 },
    oomScoreAdj: 100,
    noNewPrivileges: true,
  };
  const linux = {
    sysctl: { "net.ipv4.ip_forward": "0" },
    personality: { domain: "LINUX" },
    devices: [{ path: "/dev/other", type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0 }],
    maskedPaths: ["/proc/kcore"],
    readonlyPaths: ["/proc/sys"],
    rootfsPropagation: "private",
    resources: {
      devices: [{ allow: false, access: "rwm" }],
      memory: { limit: 64 << 20 },
      pids: { limit: 30 },
      cpu: { shares: 512, quota: 50_000, period: 100_000 },
    },
    seccomp: {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [
        {
          names: ["mkdir"],
          action: "SCMP_ACT_ERRNO",
          errnoRet: 1,
          args: [{ index: 0, value: 1, op: "SCMP_CMP_EQ" }],
        },
      ],
    },
  };
  const whole = {
    ...config,
    ...more,
    process: { ...config.process, ...process },
    linux: { ...config.linux, ...linux },
  };
  return JSON.parse(JSON.stringify(whole)) as Json;
}

/** Changes one to three places: another value, a missing one, a doubled one. */
function mutate(whole: Json, random: () => number): Json {
  const copy = structuredClone(whole);
  for (let count = 1 + (random() % 3); count > 0; count--) {
    let parent = copy;
    for (let depth = 0; depth < 8; depth++) {
      if (parent === null || typeof parent !== "object") break;
      const keys = Object.keys(parent);
      const key = keys[random() % Math.max(1, keys.length)];
      if (key === undefined) break;
      const holder = parent as Record<string, Json>;
      const child = holder[key] ?? null;
      const isLeaf = child === null || typeof child !== "object" || Object.keys(child).length === 0;
      if (!isLeaf && random() % 5 !== 0) {
        parent = child;
        continue;
      }
      const way = random() % 8;
      if (way === 0) delete holder[key];
      else if (way === 1 && Array.isArray(parent)) parent.push(structuredClone(child));
      else holder[key] = structuredClone(STRANGE[random() % STRANGE.length] ?? null);
      break;
    }
  }
  return copy;
}

e2e("10,000 configs to validate", () => {
  using box = new Box();
  const random = generator(4711);
  const bundle = box.path("bundle");
  mkdirSync(join(bundle, "rootfs"), { recursive: true });
  const whole = wholeConfig("rootfs", "/hako-e2e-mutation");
  let refused = 0;
  for (let turn = 0; turn < 10_000; turn++) {
    writeFileSync(join(bundle, "config.json"), JSON.stringify(mutate(whole, random)));
    const { findings } = bundleFindings(bundle, "cgroupfs");
    const problems = findings.filter(({ severity }) => severity === "error").map(problemLine);
    for (const problem of problems) {
      expect(problem).toMatch(/^(\/|the document: )/);
      expect(problem).not.toMatch(/\n|undefined|\[object/);
    }
    if (problems.length > 0) refused++;
  }
  expect(refused).toBeGreaterThan(3000);
  // and a few through the executable
  for (let turn = 0; turn < 20; turn++) {
    writeFileSync(join(bundle, "config.json"), JSON.stringify(mutate(whole, random)));
    const result = box.hako("validate", "--bundle", bundle);
    expect([0, 1]).toContain(result.status ?? -1);
    const errors = result.stderr.split("\n").filter((line) => line !== "" && !line.startsWith("warning: "));
    expect(result.status === 0).toBe(errors.length === 0);
  }
}, [needsHako]);

const WHERE =
  /(\/[a-z][\w~-]*(\/[\w.~-]+)*|container process|the container's process|first process|root file system)/i;

e2e("300 configs to create", async () => {
  using box = new Box();
  const before = hostSnapshot(box.root);
  const random = generator(815);
  const rootfs = box.path("rootfs");
  busyboxRootfs(rootfs);
  let [created, refused, unforeseen] = [0, 0, 0];
  for (let turn = 0; turn < 300; turn++) {
    const id = box.id();
    const bundle = box.path(id);
    mkdirSync(bundle);
    writeFileSync(join(bundle, "config.json"), JSON.stringify(mutate(wholeConfig(rootfs, `/${id}`), random)));
    const { findings } = bundleFindings(bundle, "cgroupfs");
    const found = findings.filter(({ severity }) => severity === "error").map(problemLine);
    const result = box.hakoWith({ timeout: 20_000 }, "create", "--bundle", bundle, id);
    expect([turn, result.signal]).toEqual([turn, null]);
    if (result.status === 0) {
      // what create takes, validate doesn't refuse
      expect([turn, found]).toEqual([turn, []]);
      created++;
      box.ok("delete", "--force", id);
      continue;
    }
    refused++;
    if (found.length === 0) unforeseen++;
    const errors = result.stderr
      .trim()
      .split("\n")
      .filter((line) => line.startsWith("hako: "));
    expect([turn, errors.length]).toEqual([turn, 1]);
    expect(errors[0]).toMatch(WHERE);
    expect(errors[0]).not.toMatch(/undefined|\[object/);
    expect(box.hako("state", id).status).toBe(1);
  }
  expect(created).toBeGreaterThan(20);
  expect(refused).toBeGreaterThan(60);
  // values that only the kernel judges, and files of procfs
  expect(unforeseen).toBeLessThan(6);
  await expectUnchanged(before, box.root);
}, [needsHako]);
