// @cgroup-v2
// The runtime under buildah, and under podman build: steps that run in a container.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { execute, HAKO, type Needs, needsProgram } from "../e2e/support";
import { clientTest, HAKO_RUNS_SAVED, IMAGE, SAVED_IMAGE, Store } from "./support";

const needs: Needs[] = [needsProgram("buildah"), needsProgram("podman")];
/** buildah isolates by itself (chroot) unless it is told to use the runtime. */
const ISOLATION = ["--isolation", "oci"];
let store: Store;

beforeAll(() => {
  if (needs.some((need) => need !== undefined)) return;
  store = new Store();
  mkdirSync(store.path("context"));
  writeFileSync(store.path("context/file"), "from the context\n");
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

const e2eBuildah = (name: string, body: () => void | Promise<void>): void => clientTest(name, body, needs);
const buildah = (...args: string[]) => store.run("buildah", args);

function ok(...args: string[]): string {
  const result = buildah(...args);
  if (result.status !== 0) throw new Error(`buildah ${args.join(" ")}: ${result.stdout}${result.stderr}`);
  return result.stdout.trim();
}

function build(client: "podman" | "buildah", lines: string[], ...flags: string[]) {
  const file = store.path("context/Containerfile");
  writeFileSync(file, `${[`FROM ${IMAGE}`, ...lines].join("\n")}\n`);
  return store.run(client, [
    "build",
    ...ISOLATION,
    "--layers=false",
    ...flags,
    "-f",
    file,
    store.path("context"),
  ]);
}

describe("buildah", () => {
  e2eBuildah("from, copy, run, config, commit; the image runs", () => {
    const container = ok("from", IMAGE);
    ok("copy", container, store.path("context/file"), "/copied");
    expect(
      ok("run", ...ISOLATION, container, "sh", "-c", "cat /copied; echo made > /made; hostname | wc -l"),
    ).toBe("from the context\n1");
    expect(buildah("run", ...ISOLATION, container, "sh", "-c", "exit 9").status).toBe(9);
    expect(buildah("run", ...ISOLATION, container, "nosuchprogram").stderr).toContain(
      "executable file not found in $PATH",
    );
    ok("config", "--cmd", "cat /made", container);
    ok("commit", "-q", container, "localhost/hako-clients-committed");
    ok("rm", container);
    expect(store.ok("run", "--rm", "localhost/hako-clients-committed")).toBe("made");
  });

  e2eBuildah("run: user, capabilities, volumes, input, a terminal", async () => {
    const container = ok("from", IMAGE);
    const run = (...args: string[]): string => ok("run", ...ISOLATION, ...args);
    expect(run("--user", "user", container, "id", "-u")).toBe("1000");
    expect(
      run(
        "--cap-add",
        "CAP_SYS_ADMIN",
        container,
        "sh",
        "-c",
        "mkdir -p /m && mount -t tmpfs x /m && echo mounted",
      ),
    ).toBe("mounted");
    expect(run("--cap-drop", "CAP_CHOWN", container, "sh", "-c", "chown 5 /tmp 2>&1; true")).toContain(
      "not permitted",
    );
    expect(
      run(
        "-v",
        `${store.path("context")}:/v:ro`,
        container,
        "sh",
        "-c",
        "cat /v/file; touch /v/x 2>&1; true",
      ),
    ).toBe("from the context\ntouch: /v/x: Read-only file system");
    expect(store.run("buildah", ["run", ...ISOLATION, container, "cat"], { input: "typed" }).stdout).toBe(
      "typed",
    );
    using session = store.terminal("buildah", [
      "run",
      "--tty",
      ...ISOLATION,
      container,
      "sh",
      "-c",
      "tty; exit 4",
    ]);
    await session.read(/\/dev\/pts\/0\r\n/);
    expect(await session.exited()).toBe(4);
    ok("rm", container);
  });

  e2eBuildah(
    "buildah build: RUN as root and as another user, with volumes and a limit; a failing step @v2",
    () => {
      const lines = [
        "COPY file /file",
        "RUN --mount=type=tmpfs,target=/t touch /t/x && cat /file > /copy && test -e /v/file && id -u > /root-id",
        "USER user",
        'RUN ["sh", "-c", "id -u > /tmp/user-id"]',
      ];
      const flags = ["-v", `${store.path("context")}:/v:ro`, "--memory", "64m", "--cap-add", "CAP_NET_ADMIN"];
      const built = build("buildah", lines, ...flags, "-t", "localhost/hako-clients-built");
      expect([built.status, built.status === 0 ? "" : built.stderr]).toEqual([0, ""]);
      // each RUN asks for ambient capabilities that can't be: nothing that anybody needs to be told of
      expect(built.stderr).not.toMatch(/warn/i);
      const out = store.ok(
        "run",
        "--rm",
        "localhost/hako-clients-built",
        "cat",
        "/copy",
        "/root-id",
        "/tmp/user-id",
      );
      expect(out).toBe("from the context\n0\n1000");
      const failed = build("buildah", ["RUN exit 13"]);
      expect(failed.status).toBe(13);
      expect(`${failed.stdout}${failed.stderr}`).toContain("exit status 13");
    },
  );

  e2eBuildah("podman build, with layers", () => {
    const image = "localhost/hako-clients-podman-built";
    const built = build("podman", ["RUN echo made > /made", "CMD cat /made"], "--layers", "-t", image);
    expect([built.status, built.stderr.match(/.*warn.*/i)]).toEqual([0, null]);
    expect(store.ok("run", "--rm", image)).toBe("made");
    const failed = build("podman", ["RUN exit 13"]);
    expect(failed.status).toBe(13);
    expect(`${failed.stdout}${failed.stderr}`).toContain("exit status 13");
  });

  e2eBuildah("nothing is left @v2", async () => {
    expect(await store.leftBehind()).toEqual([]);
  });
});

describe("run --rootfs", () => {
  e2eBuildah("an image as podman and buildah save it: its files and its settings", () => {
    const image = "localhost/hako-clients-saved";
    expect(build("podman", SAVED_IMAGE, "-t", image).status).toBe(0);
    const saved = (name: string): string => store.path(`saved-${name}`);
    store.ok("save", "--format", "docker-archive", "--output", saved("docker"), image);
    store.ok("save", "--format", "oci-archive", "--output", saved("oci"), image);
    store.ok(
      "save",
      "--format",
      "docker-archive",
      "--multi-image-archive",
      "-o",
      saved("many"),
      image,
      IMAGE,
    );
    store.ok("save", "--format", "oci-dir", "--output", saved("directory"), image);
    ok("push", image, `oci:${saved("layout")}:latest`);
    const archives = [
      saved("docker"),
      saved("oci"),
      `oci:${saved("directory")}`,
      `oci:${saved("layout")}:latest`,
    ];
    const env = { PATH: store.env.PATH ?? "", XDG_CACHE_HOME: store.path("cache") };
    const run = (...words: string[]) =>
      execute(HAKO, ["--root", store.path("hako"), "run", "--rootfs", ...words], { env });
    for (const archive of archives) {
      expect([archive, run(archive)]).toEqual([archive, expect.objectContaining(HAKO_RUNS_SAVED)]);
      expect(run(archive, "--", "other").stdout).toStartWith("other\n/data\n");
    }
    expect(run(`${saved("many")}`).stderr).toContain("2 images");
    const name = store.detached([], "sleep", "100");
    store.ok("export", "--output", saved("export"), name);
    expect(run(saved("export"), "--", "sh", "-c", "cat /etc/group | tail -n 1")).toMatchObject({
      status: 0,
      stdout: "extra:x:2000:user\n",
    });
    store.ok("rm", "--force", "--time", "0", name);
  });
});
