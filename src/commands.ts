import type { Command, CommandGroup } from "./command";

interface Entry {
  description: string;
  load(): Promise<{ default: Command | CommandGroup }>;
}

/** Every command: what it is for, and the module that is loaded when it is called (what is imported costs start-up time). */
export const COMMANDS: Record<string, Entry> = {
  cgroup: { description: "Look at the host's cgroups", load: () => import("./commands/cgroup") },
  mapping: { description: "which container is in which sandbox", load: () => import("./commands/mapping") },
  netns: { description: "work in a network namespace", load: () => import("./commands/netns") },
  console: { description: "pass terminals over unix sockets", load: () => import("./commands/console") },
};
