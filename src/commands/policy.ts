import { defineCommand } from "../cli/command";
import { printJson } from "../output/print";
import { printTable } from "../output/table";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";

const show = defineCommand({
  meta: { description: "print what run --policy would allow here: to this user, in this directory" },
  args: {
    policy: {
      type: "positional",
      default: "default",
      description: "default, build, agent, a file, or srt:FILE",
    },
    ...FORMAT_FLAGS,
  },
  examples: ["hako policy show agent", "hako policy show --json ./policy.toml"],
  async run({ args }) {
    const { AppliedPolicy } = await import("../policy/applied-policy");
    const { policyFields, policyRows } = await import("../policy/show-policy");
    const policy = new AppliedPolicy(args.policy);
    if (wantsJson(args)) printJson(policyFields(policy));
    else printTable(["WHAT", "VALUE", "NOTE"], policyRows(policy));
  },
});

export default defineCommand({ usual: "show", subCommands: { show } });
