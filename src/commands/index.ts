import type { Command, CommandGroup } from "../cli/command";

interface Entry {
  description: string;
  load(): Promise<{ default: Command | CommandGroup }>;
}

/** Every command: what it is for, and the module that is loaded when it is called (what is imported costs start-up time). */
export const COMMANDS: Record<string, Entry> = {
  create: { description: "make a container from a bundle", load: () => import("./create") },
  start: { description: "run the program of a created container", load: () => import("./start") },
  run: {
    description: "create, start, wait, delete; also without a bundle",
    load: () => import("./run"),
  },
  exec: { description: "run a command in a container that runs", load: () => import("./exec") },
  state: { description: "what a container does, as JSON", load: () => import("./state") },
  kill: { description: "send a signal to a container", load: () => import("./kill") },
  delete: { description: "remove a container", load: () => import("./delete") },
  ps: { description: "the processes of a container", load: () => import("./ps") },
  pause: {
    description: "stop all processes of a container where they are",
    load: () => import("./pause"),
  },
  resume: { description: "let a paused container go on", load: () => import("./resume") },
  update: { description: "change limits of a container", load: () => import("./update") },
  events: { description: "what a container uses, as JSON lines", load: () => import("./events") },
  checkpoint: {
    description: "save a running container's processes",
    load: () => import("./checkpoint"),
  },
  restore: {
    description: "let a saved container's processes go on",
    load: () => import("./restore"),
  },
  list: { description: "list containers", load: () => import("./list") },
  spec: { description: "write a config.json to begin with", load: () => import("./spec") },
  features: {
    description: "what this executable can do, as JSON",
    load: () => import("./features"),
  },
  validate: {
    description: "check an id and a bundle as create would",
    load: () => import("./validate"),
  },
  check: { description: "can this host run containers?", load: () => import("./check") },
  env: { description: "the runtime, the host, its kernel and paths", load: () => import("./env") },
  cgroup: { description: "look at the host's cgroups", load: () => import("./cgroup") },
  mapping: { description: "which container is in which sandbox", load: () => import("./mapping") },
  sandbox: { description: "pods and their containers", load: () => import("./sandbox") },
  netns: { description: "work in a network namespace", load: () => import("./netns") },
  console: { description: "pass terminals over unix sockets", load: () => import("./console") },
  completion: { description: "a completion script for a shell", load: () => import("./completion") },
  man: { description: "the manual page", load: () => import("./man") },
};
