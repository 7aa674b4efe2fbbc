import { defineCommand, lazyCommand } from "../cli/command";
import { GLOBAL_FLAGS } from "../cli/global-flags";

/** hako itself: its commands in the order of `--help`, each with the module that is loaded when it is called. */
export default defineCommand({
  meta: { name: "hako", description: "hako runs OCI containers, grouped in sandboxes" },
  args: GLOBAL_FLAGS,
  subCommands: {
    create: lazyCommand(() => import("./create"), {
      description: "make a container from a bundle; start runs its program",
    }),
    start: lazyCommand(() => import("./start"), { description: "run the program of a created container" }),
    run: lazyCommand(() => import("./run"), {
      description: "create, start, wait, delete: a bundle's program, or a command in a rootfs",
    }),
    exec: lazyCommand(() => import("./exec"), { description: "run a command in a container that runs" }),
    state: lazyCommand(() => import("./state"), { description: "what a container does, as JSON" }),
    kill: lazyCommand(() => import("./kill"), { description: "send a signal to a container" }),
    delete: lazyCommand(() => import("./delete"), { description: "remove a container", alias: "rm" }),
    stop: lazyCommand(() => import("./stop"), { description: "end a container's program", hidden: true }),
    ps: lazyCommand(() => import("./ps"), { description: "the processes of a container" }),
    wait: lazyCommand(() => import("./wait"), {
      description: "wait for containers' ends, and print their exit statuses",
    }),
    pause: lazyCommand(() => import("./pause"), {
      description: "stop all processes of a container where they are",
    }),
    resume: lazyCommand(() => import("./resume"), { description: "let a paused container go on" }),
    update: lazyCommand(() => import("./update"), { description: "change limits of a container" }),
    logs: lazyCommand(() => import("./logs"), {
      description: "what a container in the background has written: of run --detach --output FILE",
    }),
    top: lazyCommand(() => import("./top"), {
      description: "what all containers use, in a table that goes on",
    }),
    events: lazyCommand(() => import("./events"), {
      description: "what a container uses, and when its memory ran out, as JSON lines",
    }),
    checkpoint: lazyCommand(() => import("./checkpoint"), {
      description: "save a running container's processes with criu, and delete the container",
    }),
    restore: lazyCommand(() => import("./restore"), {
      description: "make a container whose processes go on where a checkpoint saved them",
    }),
    list: lazyCommand(() => import("./list"), {
      description: "list the containers below --root",
      alias: "ls",
    }),
    spec: lazyCommand(() => import("./spec"), { description: "write a config.json to begin with" }),
    features: lazyCommand(() => import("./features"), {
      description: "what this executable can do, as JSON",
    }),
    validate: lazyCommand(() => import("./validate"), {
      description: "check an id and a bundle as create would",
    }),
    check: lazyCommand(() => import("./check"), {
      description: "can this host run containers? exit status 1 if something needed is missing",
      alias: "kata-check",
    }),
    env: lazyCommand(() => import("./env"), {
      description: "the runtime, the host, its kernel and paths",
      alias: "kata-env",
    }),
    cgroup: lazyCommand(() => import("./cgroup"), { description: "look at the host's cgroups" }),
    unpack: lazyCommand(() => import("./unpack"), { description: "make a bundle from an image" }),
    image: lazyCommand(() => import("./image"), { description: "images that run --rootfs has unpacked" }),
    changes: lazyCommand(() => import("./changes"), {
      description: "what run --changes has kept: look at it, make it true, throw it away",
    }),
    policy: lazyCommand(() => import("./policy"), {
      description: "what run --policy lets a command read, write and reach",
    }),
    mapping: lazyCommand(() => import("./mapping"), { description: "which container is in which sandbox" }),
    sandbox: lazyCommand(() => import("./sandbox"), { description: "pods and their containers" }),
    machine: lazyCommand(() => import("./machine"), {
      description: "virtual machines (QEMU): set up, look at, try",
    }),
    agent: lazyCommand(() => import("./agent"), {
      description: "the first process of a machine",
      hidden: true,
    }),
    netns: lazyCommand(() => import("./netns"), { description: "work in a network namespace" }),
    console: lazyCommand(() => import("./console"), { description: "pass terminals over unix sockets" }),
    completion: lazyCommand(() => import("./completion"), { description: "a completion script for a shell" }),
    man: lazyCommand(() => import("./man"), { description: "print the manual page, hako(1)" }),
  },
});
