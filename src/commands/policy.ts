import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { printJson } from "../output/print";
import { printTable } from "../output/table";
import { FORMAT_FLAGS, LIVING_CONTAINER, wantsJson } from "./flags/common";

const show = defineCommand({
  meta: { description: "print what run --policy would allow here: to this user, in this directory" },
  args: {
    policy: {
      type: "positional",
      default: "default",
      description: "default, build, agent, a file, srt:FILE, or the number of a descriptor",
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

const allow = defineCommand({
  meta: { description: "let a container that runs with rules of --network reach more, until it ends" },
  args: { container: LIVING_CONTAINER },
  rest: "RULE...",
  examples: ["hako policy allow job registry.npmjs.org", "hako policy allow job allow:db.internal:5432"],
  async run({ args, rest, data: { globals } }) {
    const rules = rest[0] === "--" ? rest.slice(1) : rest;
    if (rules.length === 0) throw HakoError.usage("missing RULE", "as example.com:443");
    const { allowMore } = await import("../container/run/rule-socket");
    const { containerId } = await import("../oci/id");
    allowMore(globals.root, containerId(args.container), rules);
  },
});

export default defineCommand({ usual: "show", subCommands: { show, allow } });
