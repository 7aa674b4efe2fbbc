import type { Command, CommandGroup } from "./command";

interface Entry {
  description: string;
  load(): Promise<{ default: Command | CommandGroup }>;
}

/** Every command: what it is for, and the module that is loaded when it is called (what is imported costs start-up time). */
export const COMMANDS: Record<string, Entry> = {
  create: { description: "make a container from a bundle", load: () => import("./commands/create") },
  start: { description: "run the program of a created container", load: () => import("./commands/start") },
  run: {
    description: "create, start, wait, delete; also without a bundle",
    load: () => import("./commands/run"),
  },
  exec: { description: "run a command in a container that runs", load: () => import("./commands/exec") },
  state: { description: "what a container does, as JSON", load: () => import("./commands/state") },
  kill: { description: "send a signal to a container", load: () => import("./commands/kill") },
  delete: { description: "remove a container", load: () => import("./commands/delete") },
  ps: { description: "the processes of a container", load: () => import("./commands/ps") },
  pause: {
    description: "stop all processes of a container where they are",
    load: () => import("./commands/pause"),
  },
  resume: { description: "let a paused container go on", load: () => import("./commands/resume") },
  update: { description: "change limits of a container", load: () => import("./commands/update") },
  events: { description: "what a container uses, as JSON lines", load: () => import("./commands/events") },
  checkpoint: {
    description: "save a running container's processes",
    load: () => import("./commands/checkpoint"),
  },
  restore: {
    description: "let a saved container's processes go on",
    load: () => import("./commands/restore"),
  },
  list: { description: "list containers", load: () => import("./commands/list") },
  spec: { description: "write a config.json to begin with", load: () => import("./commands/spec") },
  features: {
    description: "what this executable can do, as JSON",
    load: () => import("./commands/features"),
  },
  validate: {
    description: "check an id and a bundle as create would",
    load: () => import("./commands/validate"),
  },
  check: { description: "can this host run containers?", load: () => import("./commands/check") },
  env: { description: "the runtime, the host, its kernel and paths", load: () => import("./commands/env") },
  cgroup: { description: "look at the host's cgroups", load: () => import("./commands/cgroup") },
  mapping: { description: "which container is in which sandbox", load: () => import("./commands/mapping") },
  sandbox: { description: "pods and their containers", load: () => import("./commands/sandbox") },
  netns: { description: "work in a network namespace", load: () => import("./commands/netns") },
  console: { description: "pass terminals over unix sockets", load: () => import("./commands/console") },
  completion: { description: "a completion script for a shell", load: () => import("./commands/completion") },
  man: { description: "the manual page", load: () => import("./commands/man") },
};
