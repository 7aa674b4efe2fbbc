import { defineCommand } from "../cli/command";
import { checkedBundle } from "../container/bundle";
import { runRestored } from "../container/criu/run-restored";
import { containerId } from "../oci/id";
import { NEW_CONTAINER } from "./flags/common";
import { CREATE_FLAGS, driverName } from "./flags/create";
import { CRIU_FLAGS, criuFlags } from "./flags/criu";

export default defineCommand({
  args: {
    container: NEW_CONTAINER,
    bundle: CREATE_FLAGS.bundle,
    config: CREATE_FLAGS.config,
    ...CRIU_FLAGS,
    "console-socket": CREATE_FLAGS["console-socket"],
    "pid-file": CREATE_FLAGS["pid-file"],
    detach: { type: "boolean", alias: "d", description: "come back when the processes run" },
    "no-subreaper": { type: "boolean", description: "don't adopt orphans of the container" },
    "no-pivot": { type: "boolean", description: "accepted: criu itself finds how to enter the rootfs" },
    "tcp-close": { type: "boolean", description: "with TCP connections closed that were open" },
    "lsm-profile": {
      type: "string",
      valueHint: "TYPE:NAME",
      description: "profile of AppArmor or label of SELinux for the processes",
    },
    "lsm-mount-context": {
      type: "string",
      valueHint: "CONTEXT",
      description: "SELinux context of the container's mounts",
    },
  },
  examples: ["hako restore --bundle /bundles/web --image-path /var/tmp/web --detach web"],
  async run({ args, data: { globals } }) {
    return await runRestored({
      ...criuFlags(args, globals),
      root: globals.root,
      id: containerId(args.container),
      cgroupManager: globals.cgroupManager,
      driver: driverName(),
      bundle: checkedBundle(args.bundle, [], globals.cgroupManager, args.config),
      consoleSocketPath: args["console-socket"],
      pidFile: args["pid-file"],
      tcpClose: args["tcp-close"],
      lsmProfile: args["lsm-profile"],
      lsmMountContext: args["lsm-mount-context"],
      detach: args.detach,
      subreaper: !args["no-subreaper"],
    });
  },
});
