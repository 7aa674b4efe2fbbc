// spec, features, validate: the documents that hako writes and checks.
import { describe, expect } from "bun:test";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
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

describe("validate", () => {
  e2e("a good bundle: nothing is said", () => {
    using box = new Box();
    const bundle = box.bundle(["true"]);
    expect(box.hako("validate", "--bundle", bundle, box.id())).toMatchObject({
      status: 0,
      stdout: "",
      stderr: "",
    });
    expect(box.hakoWith({ cwd: bundle }, "validate").status).toBe(0);
  }, [needsHako]);

  e2e("unknown fields are told, and are no failure", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], (config) => {
      Object.assign(config.linux.resources, { meomry: { limit: 1 } });
    });
    const result = box.hako("validate", "--bundle", bundle);
    expect([result.status, result.stderr]).toEqual([
      0,
      `warning: ${bundle}/config.json: /linux/resources/meomry: unknown, and does nothing\n`,
    ]);
    box.ok("run", "--bundle", bundle, box.id());
  }, [needsHako]);

  e2e("of a device rule's access the letters r, w and m count; none of them is a mistake", () => {
    using box = new Box();
    const validate = (rule: object) => {
      const bundle = box.bundle(["true"], ({ linux }) => {
        linux.resources.devices = [{ allow: false, access: "rwm" }, rule];
      });
      return box.hako("validate", "--bundle", bundle);
    };
    const device = { type: "c", major: 1, minor: 11 };
    for (const access of ["rwmx", "r,w", "rrw"]) {
      expect(validate({ allow: true, ...device, access })).toMatchObject({ status: 0 });
    }
    for (const rule of [{ access: "x" }, { access: "RW" }, { access: "" }, {}]) {
      const { status, stdout, stderr } = validate({ allow: true, ...device, ...rule });
      expect(status).toBe(1);
      expect(stdout + stderr).toContain("/linux/resources/devices/1/access: expected letters of rwm");
    }
  }, [needsHako]);

  e2e("every problem has a line and a pointer", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], (config) => {
      config.process.cwd = "tmp";
      config.process.args = [];
      config.linux.namespaces.push({ type: "pid" });
      Object.assign(config.linux, { seccomp: { defaultAction: "SCMP_ACT_NOTIFY" } });
    });
    const result = box.hako("validate", "--bundle", bundle, "../up");
    expect(result.status).toBe(1);
    const lines = result.stderr.trim().split("\n");
    expect(lines.length).toBe(5);
    for (const part of [
      "container id",
      "/process/args",
      "/process/cwd",
      "/linux/namespaces/",
      "/linux/seccomp/defaultAction",
    ]) {
      expect(lines.filter((line) => line.includes(part)).length).toBe(1);
    }
  }, [needsHako]);

  e2e("ids and bundles of the seed's table", () => {
    using box = new Box();
    const good = box.bundle(["true"]);
    const id = box.id();
    box.ok("create", "--bundle", good, id);
    const file = box.path("file");
    writeFileSync(file, "");
    symlinkSync(good, box.path("link"));
    const said = (bundle: string, name: string) => {
      const { status, stderr } = box.hako("validate", "--bundle", bundle, name);
      return `${status} ${stderr.trim()}`;
    };
    expect(said(good, "")).toContain("missing container id");
    expect(said(good, id)).toMatch(/^1 .*already in use/);
    expect(said(box.path("none"), box.id())).toMatch(
      /^1 invalid bundle path ".*": .*no such file or directory/,
    );
    expect(said(file, box.id())).toMatch(/^1 invalid bundle path ".*", it should be a directory/);
    expect(said("", box.id())).toMatch(/^1 missing bundle path/);
    expect(said(box.path("link"), box.id())).toBe("0 ");
    // a mapping that is broken blocks an id
    const broken = box.id();
    for (const sandbox of ["a", "b"]) {
      mkdirSync(join(box.root, "containers-mapping", broken, sandbox), { recursive: true });
    }
    expect(said(good, broken)).toMatch(/^1 too many files \(2\) in/);
    box.ok("mapping", "delete", broken);
    expect(said(good, broken)).toBe("0 ");
  }, [needsHako]);
});
