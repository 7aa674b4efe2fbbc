import { secondsOf } from "../base/duration";
import { binarySize } from "../base/size";
import { cgroupRoot, readLayout } from "../cgroup";
import type { CgroupReport, ReportRow } from "../cgroup/group/report";
import { defineCommand } from "../cli/command";
import { FILESYSTEM_MAGIC, tryFilesystemType } from "../linux/file/statfs";
import { print, printJson } from "../output/print";
import { printTable } from "../output/table";
import { CONTAINER, FORMAT_FLAGS, wantsJson } from "./flags/common";

const root = defineCommand({
  meta: { description: "print the directory that holds the cgroup hierarchies" },
  args: {
    mountinfo: {
      type: "string",
      description: "read this file instead of /proc/self/mountinfo",
      valueHint: "FILE",
    },
  },
  examples: ["hako cgroup root", "hako cgroup root --mountinfo /proc/1/mountinfo"],
  run({ args }) {
    print(`${cgroupRoot(args.mountinfo)}\n`);
  },
});

const version = defineCommand({
  meta: { description: "print the host's cgroup version: v1, v2, or hybrid (v1 and v2)" },
  args: {},
  examples: ["hako cgroup version"],
  run() {
    const layout = readLayout();
    print(`${layout.hierarchies.length === 0 ? "none" : layout.version}\n`);
  },
});

const mounted = defineCommand({
  meta: { description: "exit with 0 if a path is on a cgroup file system, with 1 if not" },
  args: { path: { type: "positional", required: true, description: "any path" } },
  examples: ["hako cgroup mounted /sys/fs/cgroup/memory && echo yes"],
  run({ args }) {
    const type = tryFilesystemType(args.path);
    return type === FILESYSTEM_MAGIC.cgroup || type === FILESYSTEM_MAGIC.cgroup2 ? 0 : 1;
  },
});

function cell(row: ReportRow, value: number | string | undefined): string {
  if (value === undefined) return "-";
  if (typeof value === "string") return value;
  if (row.unit === "nanoseconds") return secondsOf(value);
  return row.unit === "bytes" ? binarySize(value) : String(value);
}

const show = defineCommand({
  meta: {
    description:
      "print a container's cgroups, their limits, what is used and was, kills for lack of memory, throttling",
  },
  args: { container: CONTAINER, ...FORMAT_FLAGS },
  examples: ["hako cgroup show web", "hako cgroup show web --format json"],
  async run({ args, data: { globals } }) {
    const { reportOf } = await import("../cgroup/group/report");
    const { cgroupOf } = await import("../state/cgroup-of");
    const { containerId } = await import("../oci/id");
    const { readRecord } = await import("../state/record");
    const report = reportOf(cgroupOf(readRecord(globals.root, containerId(args.container))));
    if (wantsJson(args)) printJson(report);
    else printReport(report);
  },
});

function printReport({ paths, resources }: CgroupReport): void {
  printTable(
    ["CONTROLLER", "DIRECTORY"],
    Object.entries(paths).map(([name, dir]) => [name === "" ? "(unified)" : name, dir]),
  );
  print("\n");
  printTable(
    ["RESOURCE", "LIMIT", "USE", "PEAK"],
    resources.map((row) => [
      row.resource,
      ...[row.limit, row.use, row.peak].map((value) => cell(row, value)),
    ]),
  );
}

export default defineCommand({ subCommands: { root, version, mounted, show } });
