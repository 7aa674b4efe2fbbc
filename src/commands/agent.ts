import { defineCommand } from "../cli/command";

export default defineCommand({
  args: {},
  examples: ["hako agent"],
  async run() {
    const { checkIsAgent, runAgent } = await import("../agent/agent");
    const { readText } = await import("../linux/file/file");
    checkIsAgent(process.pid, readText("/proc/cmdline"));
    return runAgent();
  },
});
