// Mounts whose owners are mapped.
import { expect } from "bun:test";
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsMappedOwners } from "./filesystems";
import { Box, type BundleConfig, e2e, needsHako } from "./support";

const needs = [needsHako, needsMappedOwners("/tmp")];

/** A directory with files of the owners 0 and 1000. */
function source(box: Box): string {
  const dir = box.path("source");
  mkdirSync(dir);
  for (const owner of [0, 1000]) {
    writeFileSync(join(dir, String(owner)), "");
    chownSync(join(dir, String(owner)), owner, owner);
  }
  chmodSync(dir, 0o777);
  return dir;
}

function mounted(dir: string, more: object, change: (config: BundleConfig) => void = () => {}) {
  return (config: BundleConfig) => {
    config.mounts.push({ destination: "/root", type: "bind", source: dir, options: ["bind"], ...more });
    change(config);
  };
}

const MAPPINGS = {
  uidMappings: [{ containerID: 0, hostID: 5000, size: 2000 }],
  gidMappings: [{ containerID: 0, hostID: 6000, size: 2000 }],
};
/** A container with a user namespace of its own. */
function own(config: BundleConfig): void {
  config.linux.namespaces.push({ type: "user" });
  config.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  config.linux.gidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
}
const OWNERS = "cd /root && stat -c %u:%g 0 1000";

e2e(
  "owners on disk are others in the container",
  () => {
    using box = new Box();
    const dir = source(box);
    for (const options of [["bind", "idmap"], ["rbind", "ridmap"], ["bind"]]) {
      expect(box.sh(OWNERS, mounted(dir, { options, ...MAPPINGS }))).toBe("5000:6000\n6000:7000\n");
    }
    box.sh(
      "touch /root/made",
      mounted(dir, { options: ["bind", "idmap"], ...MAPPINGS }, (config) => {
        config.process.user = { uid: 5005, gid: 6005 };
      }),
    );
    expect(statSync(join(dir, "made"))).toMatchObject({ uid: 5, gid: 5 });
  },
  needs,
);

e2e(
  "by crun's option with a mapping, of the host's ids or of the container's",
  () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const dir = source(box);
    const maps = "uids=0-5000-2000;gids=0-6000-2000";
    for (const options of [
      ["bind", `idmap=${maps}`],
      ["rbind", `ridmap=${maps}`],
    ])
      expect(box.sh(OWNERS, mounted(dir, { options }))).toBe("5000:6000\n6000:7000\n");
    const relative = "idmap=uids=@0-10-1#@1000-20-1;gids=@0-30-1#@1000-40-1";
    expect(box.sh(OWNERS, mounted(dir, { options: ["bind", relative] }, own))).toBe("10:30\n20:40\n");
    const wrong = box.run(["true"], mounted(dir, { options: ["bind", "idmap=uids=0-1-1"] }));
    expect(wrong.status).toBe(1);
    expect(wrong.stderr).toMatch(/\/mounts\/\d+\/options\/1: idmap: both are needed/);
  },
  needs,
);

e2e(
  "by the container's own user namespace",
  () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const dir = source(box);
    expect(box.sh(OWNERS, mounted(dir, { options: ["bind"] }, own))).toBe("65534:65534\n65534:65534\n");
    expect(box.sh(OWNERS, mounted(dir, { options: ["bind", "idmap"] }, own))).toBe("0:0\n1000:1000\n");
  },
  needs,
);

e2e(
  "by the user namespace that the container joins",
  () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const dir = source(box);
    const first = box.started(["sleep", "600"], own);
    const path = `/proc/${box.state(first).pid}/ns/user`;
    const joining = (config: BundleConfig) => {
      config.linux.namespaces.push({ type: "user", path });
    };
    expect(box.sh(OWNERS, mounted(dir, { options: ["bind", "idmap"] }, joining))).toBe("0:0\n1000:1000\n");
  },
  needs,
);

e2e(
  "a file system that can't is named",
  () => {
    using box = new Box();
    const result = box.run(
      ["true"],
      mounted("/proc/self/fdinfo", { options: ["bind", "idmap"], ...MAPPINGS }),
    );
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/config \/mounts\/\d+: .*invalid argument/);
  },
  needs,
);
