import { cgroupRoot, readLayout } from "../cgroup";
import type { ReportRow } from "../cgroup/group/report";
import { type CommandGroup, defineCommand } from "../cli/command";
import { FILESYSTEM_MAGIC, tryFilesystemType } from "../linux/file/statfs";
import { print, printJson, printTable } from "../output/print";
import { CONTAINER, FORMAT_FLAGS, wantsJson } from "./flags/operands";
import { binarySize, seconds } from "./flags/quantities";

const root = defineCommand({
  meta: { name: "root", description: "print the directory that holds the cgroup hierarchies" },
  args: {
    mountinfo: {
      type: "string",
      description: "read this file instead of /proc/self/mountinfo",
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
  meta: { name: "version", description: "print the host's cgroup version: v1, v2, or hybrid (v1 and v2)" },
  args: {},
  examples: ["hako cgroup version"],
  run() {
    const layout = readLayout();
    print(`${layout.hierarchies.length === 0 ? "none" : layout.version}\n`);
    return undefined;
  },
});

const mounted = defineCommand({
  meta: { name: "mounted", description: "exit with 0 if a path is on a cgroup file system, with 1 if not" },
  args: { path: { type: "positional", required: true, description: "any path" } },
  examples: ["hako cgroup mounted /sys/fs/cgroup/memory && echo yes"],
  run({ values }) {
    const type = tryFilesystemType(values.path);
    return type === FILESYSTEM_MAGIC.cgroup || type === FILESYSTEM_MAGIC.cgroup2 ? 0 : 1;
  },
});

function cell(row: ReportRow, value: number | string | undefined): string {
  if (value === undefined) return "-";
  if (typeof value === "string") return value;
  if (row.unit === "nanoseconds") return seconds(value);
  return row.unit === "bytes" ? binarySize(value) : String(value);
}

const show = defineCommand({
  meta: { name: "show", description: "print a container's cgroups, their limits, and what is used" },
  args: { container: CONTAINER, ...FORMAT_FLAGS },
  examples: ["hako cgroup show web", "hako cgroup show web --format json"],
  async run({ values, globals }) {
    const { reportOf } = await import("../cgroup/group/report");
    const { cgroupOf } = await import("../state/cgroup-of");
    const { containerId } = await import("../oci/id");
    const { readRecord } = await import("../state/record");
    const report = reportOf(cgroupOf(readRecord(globals.root, containerId(values.container))));
    if (wantsJson(values)) {
      printJson(report);
      return undefined;
    }
    printTable(
      ["CONTROLLER", "DIRECTORY"],
      Object.entries(report.paths).map(([name, dir]) => [name === "" ? "(unified)" : name, dir]),
    );
    print("\n");
    printTable(
      ["RESOURCE", "LIMIT", "USE"],
      report.resources.map((row) => [row.resource, cell(row, row.limit), cell(row, row.use)]),
    );
    return undefined;
  },
});

const group: CommandGroup = {
  meta: { name: "cgroup", description: "look at the host's cgroups" },
  commands: { root, version, mounted, show },
};

export default group;
