import { HakoError } from "../base/errors";
import { readLayout } from "../cgroup/hierarchy/layout";
import { defineCommand } from "../cli/command";
import { systemError } from "../linux/call/syscall";
import { statusAt, writeText } from "../linux/file/file";
import { defaultConfig } from "../oci/default";

export default defineCommand({
  args: {
    bundle: {
      type: "string",
      alias: "b",
      valueHint: "DIR",
      description: "directory to write it to",
      default: ".",
    },
    rootless: { type: "boolean", description: "for a container of an ordinary user" },
  },
  examples: ["mkdir -p web/rootfs && hako spec --bundle web"],
  run({ args }) {
    const type = statusAt(args.bundle)?.type;
    if (type !== "directory") {
      const hint = `mkdir -p ${args.bundle}/rootfs makes one, with a place for the root file system`;
      throw systemError("open", type === undefined ? "ENOENT" : "ENOTDIR", args.bundle, hint);
    }
    const file = `${args.bundle}/config.json`;
    if (statusAt(file, false) !== undefined) {
      throw new HakoError({
        code: "exists",
        message: `${file} exists`,
        hint: "remove the existing file first",
      });
    }
    const cgroupNamespace = readLayout().version === "v2";
    const config = defaultConfig({ rootless: args.rootless, cgroupNamespace });
    writeText(file, `${JSON.stringify(config, null, "\t")}\n`);
  },
});
