import { defineCommand, lazy } from "../cli/command";
import { GLOBAL_FLAGS } from "../cli/global-flags";

/** hako itself: its commands in the order of `--help`, each with the module that is loaded when it is called. */
export default defineCommand({
  meta: { name: "hako", description: "hako runs OCI containers, grouped in sandboxes" },
  args: GLOBAL_FLAGS,
  subCommands: {
    create: lazy(() => import("./create"), {
      description: "make a container from a bundle; start runs its program",
    }),
    start: lazy(() => import("./start"), { description: "run the program of a created container" }),
    run: lazy(() => import("./run"), {
      description: "create, start, wait, delete: a bundle's program, or a command in a rootfs",
    }),
    exec: lazy(() => import("./exec"), { description: "run a command in a container that runs" }),
    state: lazy(() => import("./state"), { description: "what a container does, as JSON" }),
    kill: lazy(() => import("./kill"), { description: "send a signal to a container" }),
    delete: lazy(() => import("./delete"), { description: "remove a container", alias: "rm" }),
    stop: lazy(() => import("./stop"), { description: "end a container's program", hidden: true }),
    ps: lazy(() => import("./ps"), { description: "the processes of a container" }),
    pause: lazy(() => import("./pause"), { description: "stop all processes of a container where they are" }),
    resume: lazy(() => import("./resume"), { description: "let a paused container go on" }),
    update: lazy(() => import("./update"), { description: "change limits of a container" }),
    events: lazy(() => import("./events"), {
      description: "what a container uses, and when its memory ran out, as JSON lines",
    }),
    checkpoint: lazy(() => import("./checkpoint"), {
      description: "save a running container's processes with criu, and delete the container",
    }),
    restore: lazy(() => import("./restore"), {
      description: "make a container whose processes go on where a checkpoint saved them",
    }),
    list: lazy(() => import("./list"), { description: "list the containers below --root", alias: "ls" }),
    spec: lazy(() => import("./spec"), { description: "write a config.json to begin with" }),
    features: lazy(() => import("./features"), { description: "what this executable can do, as JSON" }),
    validate: lazy(() => import("./validate"), { description: "check an id and a bundle as create would" }),
    check: lazy(() => import("./check"), {
      description: "can this host run containers? exit status 1 if something needed is missing",
      alias: "kata-check",
    }),
    env: lazy(() => import("./env"), {
      description: "the runtime, the host, its kernel and paths",
      alias: "kata-env",
    }),
    cgroup: lazy(() => import("./cgroup"), { description: "look at the host's cgroups" }),
    mapping: lazy(() => import("./mapping"), { description: "which container is in which sandbox" }),
    sandbox: lazy(() => import("./sandbox"), { description: "pods and their containers" }),
    netns: lazy(() => import("./netns"), { description: "work in a network namespace" }),
    console: lazy(() => import("./console"), { description: "pass terminals over unix sockets" }),
    completion: lazy(() => import("./completion"), { description: "a completion script for a shell" }),
    man: lazy(() => import("./man"), { description: "print the manual page, hako(1)" }),
  },
});
