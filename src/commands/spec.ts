import { HakoError } from "../base/errors";
import { readLayout } from "../cgroup/hierarchy/layout";
import { defineCommand } from "../cli/command";
import { systemError } from "../linux/call/syscall";
import { statusAt, writeText } from "../linux/file/file";
import { defaultConfig } from "../oci/default";

export default defineCommand({
  meta: { name: "spec", description: "write a config.json to begin with" },
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
  run({ values }) {
    const type = statusAt(values.bundle)?.type;
    if (type !== "directory") {
      const hint = `mkdir -p ${values.bundle}/rootfs makes one, with a place for the root file system`;
      throw systemError("open", type === undefined ? "ENOENT" : "ENOTDIR", values.bundle, hint);
    }
    const file = `${values.bundle}/config.json`;
    if (statusAt(file, false) !== undefined) {
      throw new HakoError({
        code: "exists",
        message: `${file} exists`,
        hint: "remove the existing file first",
      });
    }
    const cgroupNamespace = readLayout().version === "v2";
    const config = defaultConfig({ rootless: values.rootless, cgroupNamespace });
    writeText(file, `${JSON.stringify(config, null, "\t")}\n`);
    return 0;
  },
});
