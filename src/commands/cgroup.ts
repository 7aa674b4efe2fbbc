import { cgroupRoot, readLayout } from "../cgroup";
import { type CommandGroup, defineCommand } from "../command";
import { MAGIC, tryFilesystemType } from "../linux/statfs";
import { print, printJson, printTable } from "../output";

const root = defineCommand({
  meta: { name: "root", description: "Print the directory that holds the cgroup hierarchies" },
  args: {
    mountinfo: {
      type: "string",
      description: "Read this file instead of /proc/self/mountinfo",
      valueHint: "FILE",
    },
  },
  examples: ["hako cgroup root", "hako cgroup root --mountinfo /proc/1/mountinfo"],
  run({ values }) {
    print(`${cgroupRoot(values.mountinfo)}\n`);
    return undefined;
  },
});

const version = defineCommand({
  meta: { name: "version", description: "Print the host's cgroup version: v1, v2, or hybrid (v1 and v2)" },
  args: {},
  examples: ["hako cgroup version"],
  run() {
    const layout = readLayout();
    print(`${layout.hierarchies.length === 0 ? "none" : layout.version}\n`);
    return undefined;
  },
});

const mounted = defineCommand({
  meta: { name: "mounted", description: "Exit with 0 if a path is on a cgroup file system, with 1 if not" },
  args: { path: { type: "positional", required: true, description: "Any path" } },
  examples: ["hako cgroup mounted /sys/fs/cgroup/memory && echo yes"],
  run({ values }) {
    const type = tryFilesystemType(values.path);
    return type === MAGIC.cgroup || type === MAGIC.cgroup2 ? 0 : 1;
  },
});

const show = defineCommand({
  meta: { name: "show", description: "Print the cgroup directories of a container" },
  args: {
    container: { type: "positional", required: true, description: "The container's id" },
    format: {
      type: "enum",
      alias: "f",
      options: ["table", "json"],
      default: "table",
      description: "How to print",
    },
  },
  examples: ["hako cgroup show web", "hako cgroup show web --format json"],
  async run({ values, globals }) {
    const { containerCgroup } = await import("../cgroup/of-container");
    const cgroup = containerCgroup(values.container, globals.root);
    const pids = cgroup.pids();
    if (values.format === "json") printJson({ version: cgroup.version, paths: cgroup.paths, pids });
    else {
      const rows = Object.entries(cgroup.paths).map(([name, dir]) => [name === "" ? "(unified)" : name, dir]);
      printTable(["CONTROLLER", "DIRECTORY"], rows);
    }
    return undefined;
  },
});

const group: CommandGroup = {
  meta: { name: "cgroup", description: "Look at the host's cgroups" },
  commands: { root, version, mounted, show },
};

export default group;
