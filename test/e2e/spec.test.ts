// spec, features: the documents that hako writes.
import { describe, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Box, type BundleConfig, busyboxRootfs, e2e, isV2, needsHako } from "./support";

describe("spec", () => {
  e2e("writes a config.json that runs", () => {
    using box = new Box();
    const bundle = box.path("bundle");
    busyboxRootfs(join(bundle, "rootfs"));
    box.ok("spec", "--bundle", bundle);
    const file = join(bundle, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8")) as BundleConfig;
    config.process.terminal = false;
    config.process.args = ["echo", "hello"];
    writeFileSync(file, JSON.stringify(config));
    expect(box.ok("run", "--bundle", bundle, box.id()).stdout).toBe("hello\n");
  });

  e2e("overwrites nothing", () => {
    using box = new Box();
    const bundle = box.path("bundle");
    mkdirSync(bundle);
    box.ok("spec", "-b", bundle);
    const again = box.hako("spec", "-b", bundle);
    expect(again.status).toBe(1);
    expect(again.stderr).toContain("exists");
  });

  e2e("a directory that is missing is not made, as runc has it: a hint makes it", () => {
    using box = new Box();
    const missing = box.path("missing");
    const result = box.hako("spec", "--bundle", missing);
    expect(result.status).toBe(1);
    expect(result.stderr).toBe(
      `hako: open ${missing}: no such file or directory (mkdir -p ${missing}/rootfs makes one, with a place for the root file system)\n`,
    );
    expect(box.hako("spec", "--bundle", "/etc/passwd").stderr).toContain("/etc/passwd: not a directory");
  }, [needsHako]);

  e2e("--rootless has a user namespace and its maps", () => {
    using box = new Box();
    mkdirSync(box.dir, { recursive: true });
    box.ok("spec", "--rootless", "-b", box.dir);
    const config = JSON.parse(readFileSync(join(box.dir, "config.json"), "utf8")) as BundleConfig;
    expect(config.linux.namespaces).toContainEqual({ type: "user" });
    expect(config.linux.uidMappings?.length).toBe(1);
  });

  e2e("has a cgroup namespace on cgroup v2 alone, as runc's", () => {
    for (const flags of [[], ["--rootless"]]) {
      using box = new Box();
      box.ok("spec", ...flags, "-b", box.dir);
      const config = JSON.parse(readFileSync(join(box.dir, "config.json"), "utf8")) as BundleConfig;
      expect(config.linux.namespaces.some(({ type }) => type === "cgroup")).toBe(isV2);
    }
  });
});

describe("features", () => {
  e2e("says what is there", () => {
    using box = new Box();
    const features = JSON.parse(box.ok("features").stdout);
    expect(features).toMatchObject({
      ociVersionMin: "1.0.0",
      ociVersionMax: "1.3.0",
      linux: {
        cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
        seccomp: { enabled: true },
      },
    });
    expect(features.linux.namespaces).toContain("time");
    expect(features.linux.seccomp.actions).toContain("SCMP_ACT_NOTIFY");
    expect(features.mountOptions).toContain("ridmap");
    expect(features.mountOptions).toContain("rbind");
    expect(features.potentiallyUnsafeConfigAnnotations).toContain("org.criu.config");
    const checkpoint = (criu: string) =>
      JSON.parse(box.ok("--criu", criu, "features").stdout).annotations[
        "org.opencontainers.runc.checkpoint.enabled"
      ];
    expect([checkpoint("/bin/sh"), checkpoint("/no/criu")]).toEqual(["true", "false"]);
  }, [needsHako]);
});
