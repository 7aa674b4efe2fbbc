// @cgroup-v2
// A distrobox, as a person enters it: an ordinary user's container that shares nearly everything with the host.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { execute, type Needs, needsProgram } from "../e2e/support";
import { clientTest, Store } from "./support";

const USER = 12_345;
const IMAGE = "localhost/hako-clients-distrobox";
const programs = ["distrobox-create", "podman", "conmon", "newuidmap", "setpriv", "unshare"];
const needs: Needs[] = programs.map(needsProgram);
let store: Store;

/** What distrobox would install in a container that lacks it. */
const STUBS = "sudo useradd usermod groupadd pinentry curl lsof diff time wget bc passwd chpasswd findmnt";

beforeAll(() => {
  if (needs.some((need) => need !== undefined)) return;
  store = new Store({ uid: USER });
  const dir = store.path("rootfs");
  const stub = (name: string, text: string): void =>
    writeFileSync(`${dir}/usr/local/bin/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  for (const path of [
    "usr/local/bin",
    "etc/profile.d",
    "var/log",
    "mnt",
    "opt",
    "home",
    "media",
    "srv",
    "usr/lib",
  ])
    mkdirSync(`${dir}/${path}`, { recursive: true });
  for (const name of STUBS.split(" ")) stub(name, "exit 0");
  writeFileSync(`${dir}/etc/os-release`, "NAME=box\nID=box\n");
  stub("bash", 'exec sh "$@"');
  execute("tar", ["-C", dir, "-cf", store.path("distrobox.tar"), "."]);
  const change = ["--change", "CMD=sh", "--change", "ENV PATH=/usr/local/bin:/bin"];
  store.ok("import", ...change, store.path("distrobox.tar"), IMAGE);
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

describe("distrobox", () => {
  clientTest(
    "create, enter with a command, and the home directory is the host's",
    () => {
      const env = {
        ...store.env,
        DBX_CONTAINER_MANAGER: "podman",
        DBX_NON_INTERACTIVE: "1",
        SHELL: "/bin/sh",
        USER: "tester",
      };
      const name = store.name();
      const created = store.run("distrobox-create", ["--yes", "--name", name, "--image", IMAGE], { env });
      expect([created.status, created.stderr]).toEqual([0, expect.any(String)]);
      const line = "id -u; ls /run/host/etc/passwd; pwd; echo made > ~/made";
      const entered = store.run("distrobox-enter", ["--name", name, "--", "sh", "-c", line], { env });
      expect([entered.status, entered.status === 0 ? "" : entered.stderr]).toEqual([0, ""]);
      // a directory below /run is found below /run/host: the container has a /run of its own
      const directory = store.dir.startsWith("/run/") ? `/run/host${store.dir}` : store.dir;
      expect(entered.stdout).toBe(`${USER}\n/run/host/etc/passwd\n${directory}\n`);
      expect(statSync(store.path("home/made")).uid).toBe(USER);
    },
    needs,
  );

  clientTest(
    "nothing is left",
    async () => {
      expect(await store.leftBehind()).toEqual([]);
    },
    needs,
  );
});
