// The order of src's folders, which says what may import what. `npx bun run scripts/layers.ts` writes it into biome-layers.json for the
// linter; test/unit/rooms.test.ts compares that file, and sees the imports that the linter doesn't (`require`, `typeof import`).
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";

/** The folder of src/main.ts. */
const MAIN = ".";

/** Folders below src; a file imports from its own folder and from those before it. A folder is where files lie, without its sub-folders. */
export const LAYERS = [
  "base",
  "linux/call",
  "linux/file",
  "linux/mount",
  "linux/process",
  "linux/steps",
  "linux/kernel",
  "linux/network",
  "linux/terminal",
  "linux/remote",
  "linux/attendant",
  "output",
  "oci",
  "dbus",
  "resctrl",
  "seccomp",
  "cgroup/hierarchy",
  "cgroup/controllers",
  "cgroup/systemd",
  "cgroup/stats",
  "cgroup/group",
  "cgroup",
  "explain",
  "hooks",
  "state",
  "settings",
  "drivers/interface",
  "drivers/namespaces/birth",
  "drivers/namespaces/init",
  "drivers/namespaces/program",
  "drivers/namespaces/rootfs",
  "drivers/namespaces/exec",
  "drivers/namespaces",
  "drivers/vm/channel",
  "drivers/vm/guest",
  "drivers/vm/host",
  "drivers/vm/confined",
  "drivers/vm/network",
  "drivers/vm/qemu",
  "drivers/vm/files",
  "drivers/vm/stand-in",
  "drivers/vm",
  "drivers",
  "image",
  "changes",
  "network/tls",
  "network",
  "policy",
  "container/io",
  "container",
  "container/run",
  "container/script",
  "container/landlocked",
  "container/criu",
  "container/validate",
  "agent",
  "host",
  "cli",
  "commands/flags",
  "commands",
  MAIN,
];

/** The only room that calls libc. */
export const FFI_ROOM = "linux";

/** How files of `folder` write an import from `other`, as a pattern of the linter's. */
function pattern(folder: string, other: string): string {
  const path = relative(folder, other);
  return path.startsWith(".") ? path : `./${path}`;
}

function top(folder: string): string {
  return folder.split("/", 1)[0] ?? folder;
}

/** What files of a folder may not import: folders that come later, and all of a room where each of its folders does. */
function later(folder: string): string[] {
  const next = LAYERS.indexOf(folder) + 1;
  const rooms = new Set(LAYERS.slice(0, next).map(top));
  const patterns = LAYERS.slice(next).flatMap((other) => {
    if (other === MAIN) return pattern(folder, "main");
    const target = pattern(folder, rooms.has(top(other)) ? other : top(other));
    // the folder itself is its index.ts
    return [target, rooms.has(top(other)) ? `${target}/*` : `${target}/**`];
  });
  return [...new Set(patterns)];
}

function override(folder: string): object {
  const group = later(folder);
  const options = {
    ...(top(folder) !== FFI_ROOM && { paths: { "bun:ffi": `bun:ffi is imported in src/${FFI_ROOM} only` } }),
    ...(group.length > 0 && { patterns: [{ group, message: "it comes later in scripts/layers.ts" }] }),
  };
  const rules = { style: { noRestrictedImports: { level: "error", options } } };
  return { includes: [join("src", folder, "*.ts")], linter: { rules } };
}

/** The text of biome-layers.json: one override for each folder, since of several overrides for a file the linter takes the last one's options. */
export function linterLayers(): string {
  const overrides = LAYERS.map((folder) => JSON.stringify(override(folder)));
  return `{"overrides":[\n${overrides.join(",\n")}\n]}\n`;
}

export const LINTER_LAYERS = join(import.meta.dir, "../biome-layers.json");

if (import.meta.main) writeFileSync(LINTER_LAYERS, linterLayers());
