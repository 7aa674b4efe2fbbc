import { secondsOf } from "../base/duration";
import { binarySize } from "../base/size";
import { defineCommand } from "../cli/command";
import type { showSandbox } from "../container/sandboxes";
import { sandboxId } from "../oci/id";
import { print, printJson } from "../output/print";
import { printTable } from "../output/table";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";

const list = defineCommand({
  meta: { description: "list sandboxes and how many containers are in each" },
  args: {
    ...FORMAT_FLAGS,
    quiet: { type: "boolean", alias: "q", description: "print ids only" },
  },
  examples: ["hako sandbox list", "hako sandbox list --format json"],
  async run({ args, data: { globals } }) {
    const { listSandboxes } = await import("../container/sandboxes");
    const sandboxes = listSandboxes(globals.root);
    if (args.quiet) print(sandboxes.map(({ id }) => `${id}\n`).join(""));
    else if (wantsJson(args)) printJson(sandboxes);
    else {
      printTable(
        ["SANDBOX", "STATUS", "CONTAINERS", "RUNNING"],
        sandboxes.map(({ id, status, containers }) => [
          id,
          status,
          String(containers.length),
          String(containers.filter((each) => each.status === "running").length),
        ]),
      );
    }
  },
});

const show = defineCommand({
  meta: { description: "print a sandbox's containers and what they use together" },
  args: {
    sandbox: { type: "positional", required: true, valueHint: "SANDBOX", description: "id of the sandbox" },
    ...FORMAT_FLAGS,
  },
  examples: ["hako sandbox show pod1", "hako sandbox show pod1 --format json"],
  async run({ args, data: { globals } }) {
    const { showSandbox } = await import("../container/sandboxes");
    const sandbox = showSandbox(globals.root, sandboxId(args.sandbox));
    if (wantsJson(args)) printJson(sandbox);
    else printSandbox(sandbox);
  },
});

function printSandbox({ containers, use }: ReturnType<typeof showSandbox>): void {
  printTable(
    ["CONTAINER", "TYPE", "STATUS", "PID", "CGROUP"],
    containers.map(({ id, type, status, pid, cgroup }) => [
      id,
      type ?? "-",
      status,
      String(pid),
      cgroup ?? "-",
    ]),
  );
  print("\n");
  printTable(
    ["RESOURCE", "USE"],
    [
      ["memory", binarySize(use.memory)],
      ["cpu time", secondsOf(use.cpu)],
      ["processes", String(use.processes)],
    ],
  );
}

export default defineCommand({ subCommands: { list, show } });
