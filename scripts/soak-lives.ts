// The kinds of life that the soak test's containers have. A part of scripts/soak.
import { existsSync, readFileSync } from "node:fs";
import { SLEEP } from "../test/e2e/support";
import { atOnce, Failure, type Life, told } from "./soak-life";

/** Long enough for hako to have left its place to the program that waits. */
const LASTS = ["sh", "-c", "sleep 0.3; exit 7"];

const CONTROLLERS = "/sys/fs/cgroup/cgroup.controllers";

/** Limits to set on a running container: those whose controllers this host's cgroups have. */
function limits(): string[] {
  const words = existsSync(CONTROLLERS) ? readFileSync(CONTROLLERS, "utf8").split(/\s/) : ["pids", "memory"];
  const pids = words.includes("pids") ? ["--pids-limit", "50"] : [];
  return words.includes("memory") ? [...pids, "--memory", "64M"] : pids;
}

export const LIVES: Record<string, (life: Life) => Promise<unknown>> = {
  run: (life) => life.hako(["run", "--bundle", life.bundle("sh", "-c", "exit 7"), life.id], 7),
  "run that lasts": (life) => life.hako(["run", "--bundle", life.bundle(...LASTS), life.id], 7, "run 0.3 s"),
  "run on a terminal": (life) => {
    const words = ["run", "--bundle", life.bundleOnTerminal(...LASTS), life.id];
    // without: hako makes the container's terminal, and its own streams are none
    return life.chance() < 0.5 ? life.onTerminal(words, 7) : life.hako(words, 7, "run 0.3 s, tty");
  },
  "exec on a terminal": async (life) => {
    await life.detached(...SLEEP);
    await life.hako(["exec", "--tty", life.id, ...LASTS], 7, "exec 0.3 s, tty");
    await life.onTerminal(["exec", "--tty", life.id, ...LASTS], 7);
  },
  "console socket": async (life) => {
    const receiver = await life.receiver();
    const bundle = life.bundleOnTerminal("sh", "-c", "echo shown; sleep 600");
    for (const words of [
      ["create", "--console-socket", receiver.socket, "--bundle", bundle, life.id],
      ["start", life.id],
      ["exec", life.id, "true"],
    ]) {
      const result = await life.any(words);
      // the container's processes are hung up then
      if (receiver.wasKilled) return;
      if (result.status !== 0) throw new Failure(`${words.join(" ")}: ${told(result)}`);
    }
  },
  lifecycle: async (life) => {
    await life.hako(["create", "--bundle", life.bundle(...SLEEP), life.id]);
    await life.expectState("created");
    await life.hako(["start", life.id]);
    await life.expectState("running");
    await life.hako(["kill", life.id, "KILL"]);
    await life.waitForEnd();
    await life.hako(["delete", life.id]);
  },
  exec: async (life) => {
    await life.detached(...SLEEP);
    await life.hako(["exec", life.id, "true"]);
    await life.hako(["exec", life.id, "sh", "-c", "exit 9"], 9);
    await life.hako(["exec", life.id, ...LASTS], 7, "exec 0.3 s");
    await life.hako(["exec", "--detach", life.id, ...SLEEP]);
    await life.expectState("running");
  },
  pause: async (life) => {
    if (!life.host.hasCgroups) return;
    await life.detached(...SLEEP);
    await life.hako(["pause", life.id]);
    await life.expectState("paused");
    if (life.chance() < 0.3) return;
    await life.hako(["resume", life.id]);
    await life.expectState("running");
  },
  update: async (life) => {
    if (!life.host.hasCgroups) return;
    await life.detached(...SLEEP);
    await life.hako(["update", ...limits(), life.id]);
    await life.hako(["events", "--stats", life.id]);
    await life.expectState("running");
  },
  "create during delete": async (life) => {
    await life.detached(...SLEEP);
    const [, made] = await atOnce([
      life.hako(["delete", "--force", life.id]),
      life.any(["create", "--bundle", life.bundle(...SLEEP), life.id]),
    ]);
    // either it came too early, or there is a whole container, or delete took that one too
    if (made.status !== 0 && !/exists|deleted|in use|busy/.test(made.stderr)) throw new Failure(told(made));
  },
};
