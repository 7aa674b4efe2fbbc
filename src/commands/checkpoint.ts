import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { checkpointContainer } from "../container/criu/checkpoint";
import { containerId } from "../oci/id";
import { CONTAINER } from "./flags/common";
import { CRIU_FLAGS, criuFlags } from "./flags/criu";

export default defineCommand({
  args: {
    container: { ...CONTAINER, states: ["running", "paused"] },
    ...CRIU_FLAGS,
    "leave-running": { type: "boolean", alias: "R", description: "let the container run on" },
    "pre-dump": {
      type: "boolean",
      description: "save memory only, and let the container run on: the checkpoint after it takes less time",
    },
    "parent-path": {
      type: "string",
      valueHint: "DIR",
      description: "--image-path of an earlier --pre-dump, relative to this one's",
    },
    "tcp-skip-in-flight": { type: "boolean", description: "without TCP connections that are being made" },
    "link-remap": { type: "boolean", description: "link deleted files that are open to a name again" },
    "status-fd": {
      type: "string",
      valueHint: "N",
      description: "with --lazy-pages: write a NUL byte to descriptor N when pages can be asked for",
    },
    "page-server": {
      type: "string",
      valueHint: "ADDRESS:PORT",
      description: "send pages of memory to this page server of criu",
    },
  },
  examples: [
    "hako checkpoint --image-path /var/tmp/web web",
    "hako checkpoint --image-path /var/tmp/web --leave-running web",
  ],
  run({ args, data: { globals } }) {
    checkpointContainer({
      ...criuFlags(args, globals),
      root: globals.root,
      id: containerId(args.container),
      parentPath: args["parent-path"],
      leaveRunning: args["leave-running"],
      tcpSkipInFlight: args["tcp-skip-in-flight"],
      linkRemap: args["link-remap"],
      statusFd: statusFd(args["status-fd"]),
      pageServer: pageServer(args["page-server"]),
      preDump: args["pre-dump"],
    });
  },
});

/** The descriptor of --status-fd; -1 is none, as with runc. */
function statusFd(text: string | undefined): number | undefined {
  if (text === undefined || text === "-1") return undefined;
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw HakoError.usage(`--status-fd: ${JSON.stringify(text)} is not a number`);
}

function pageServer(text: string | undefined): { address: string; port: number } | undefined {
  if (text === undefined || text === "") return undefined;
  const [, address, digits] = /^\[?([^[\]]+)\]?:(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (address !== undefined && port > 0 && port < 65536) return { address, port };
  throw HakoError.usage(`--page-server: ${JSON.stringify(text)} is not ADDRESS:PORT`);
}
