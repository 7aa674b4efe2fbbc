import { defineCommand } from "../cli/command";
import { execInContainer } from "../container/exec";
import { inheritedDescriptors } from "../container/io/inherited-descriptors";
import { containerId } from "../oci/id";
import { CONTAINER, PIDFD_SOCKET } from "./flags/common";
import { checkInteractive, INTERACTIVE } from "./flags/so-anyway";
import { lifelineOf, timeLimitOf, WATCH_FLAGS, withReport } from "./flags/watch";

export default defineCommand({
  args: {
    container: { ...CONTAINER, states: ["created", "running"] },
    process: {
      type: "string",
      alias: "p",
      valueHint: "FILE",
      description: "JSON of a process as in config.json, in place of COMMAND and flags",
    },
    tty: { type: "boolean", alias: "t", description: "give the command a terminal" },
    interactive: INTERACTIVE,
    "console-socket": {
      type: "string",
      valueHint: "SOCK",
      description: "unix socket that receives the terminal's master",
    },
    detach: { type: "boolean", alias: "d", description: "come back when the command has been started" },
    "pid-file": { type: "string", valueHint: "FILE", description: "write the command's pid to this file" },
    "pidfd-socket": PIDFD_SOCKET,
    cwd: {
      type: "string",
      alias: ["w", "workdir"],
      valueHint: "DIR",
      description: "working directory in the container",
    },
    env: { type: "string", alias: "e", valueHint: "K=V", multiple: true, description: "set a variable" },
    user: {
      type: "string",
      alias: "u",
      valueHint: "U[:G]",
      description: "names or numbers of user and group",
    },
    "additional-gids": {
      type: "string",
      alias: "g",
      valueHint: "GID",
      multiple: true,
      description: "numbers of more groups",
    },
    cap: {
      type: "string",
      alias: "c",
      valueHint: "CAP",
      multiple: true,
      description: "add a capability to the bounding, effective and permitted sets",
    },
    "no-new-privs": {
      type: "boolean",
      tristate: true,
      description:
        "nothing that it executes can gain privileges; =false: it can, whatever the container's program can",
    },
    apparmor: { type: "string", valueHint: "PROFILE", description: "AppArmor profile" },
    "process-label": { type: "string", valueHint: "LABEL", description: "SELinux label" },
    cgroup: {
      type: "string",
      valueHint: "[CONTROLLER:]PATH",
      multiple: true,
      description: "run it in a cgroup below the container's own",
    },
    "preserve-fds": {
      type: "string",
      valueHint: "N",
      description: "hand N descriptors from 3 on to the command",
      default: "0",
    },
    "ignore-paused": { type: "boolean", description: "also in a paused container: it waits until resume" },
    timeout: {
      ...WATCH_FLAGS.timeout,
      description:
        "kill the command after this time, as 30 (seconds) or 1m30s, and all that it has started; the exit status is then 124",
    },
    grace: {
      ...WATCH_FLAGS.grace,
      description: "with --timeout: first ask them to end, by TERM; kill them after this time",
    },
    report: WATCH_FLAGS.report,
    quiet: { ...WATCH_FLAGS.quiet, description: "don't say on standard error that the time was over" },
    "die-with": {
      ...WATCH_FLAGS["die-with"],
      description:
        "kill the command and all that it has started when the other end of a pipe or socket that you have opened is closed, or the process of a pidfd has ended",
    },
    "no-subreaper": { type: "boolean", description: "for callers of runc: exec never adopts orphans" },
  },
  rest: "[COMMAND [ARG...]]",
  stopAtOperand: true,
  failure: () => 255,
  examples: ["hako exec web ls -l /", "hako exec -t --user www --env DEBUG=1 web sh"],
  async run({ args, rest, data: { globals } }) {
    checkInteractive(args.interactive);
    // what a service manager hands over is for the container's first process
    const { preserveFds } = inheritedDescriptors(args["preserve-fds"]);
    return await withReport(args, async (report) => {
      report?.open();
      using lifeline = lifelineOf(args);
      const id = containerId(args.container);
      report?.named(id);
      return await execInContainer({
        root: globals.root,
        id,
        values: args,
        args: rest[0] === "--" ? rest.slice(1) : rest,
        consoleSocketPath: args["console-socket"],
        detach: args.detach,
        pidFile: args["pid-file"],
        pidfdSocket: args["pidfd-socket"],
        preserveFds,
        cgroups: args.cgroup,
        ignorePaused: args["ignore-paused"],
        timeLimit: timeLimitOf(args),
        lifeline,
        quiet: args.quiet,
        atEnd: report && ((end) => report.ended(end)),
      });
    });
  },
});
