import { HakoError } from "../base/errors";
import { binarySize } from "../base/size";
import { defineCommand } from "../cli/command";
import { print, printJson } from "../output/print";
import { printTable } from "../output/table";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";

/** Digits of an id that people read, as docker and podman have them. */
const SHORT = 12;

const list = defineCommand({
  meta: { description: "list the images that are unpacked", alias: "ls" },
  args: { ...FORMAT_FLAGS, quiet: { type: "boolean", alias: "q", description: "print ids only" } },
  examples: ["hako image list"],
  async run({ args }) {
    const { ImageCache } = await import("../image/cache");
    const images = new ImageCache().list();
    if (args.quiet) print(images.map(({ id }) => `${id}\n`).join(""));
    else if (wantsJson(args))
      printJson(
        images.map(({ id, source, size, unpacked, owners, inUse }) => ({
          id,
          source,
          size,
          unpacked: new Date(unpacked).toISOString(),
          owners,
          inUse,
        })),
      );
    else
      printTable(
        ["IMAGE", "SIZE", "UNPACKED", "IN USE", "SOURCE"],
        images.map(({ id, size, unpacked, inUse, source }) => [
          id.replace(/^\w+:/, "").slice(0, SHORT),
          binarySize(size),
          new Date(unpacked).toISOString().slice(0, 16),
          inUse ? "yes" : "no",
          source,
        ]),
      );
  },
});

const remove = defineCommand({
  meta: { description: "remove an unpacked image that no container uses", alias: "rm" },
  args: {
    image: {
      type: "positional",
      required: true,
      description: "its id, the beginning of that, or its source",
      completes: [],
    },
  },
  examples: ["hako image remove 1b2c3d4e5f60"],
  async run({ args }) {
    const { ImageCache } = await import("../image/cache");
    const cache = new ImageCache();
    const used = cache.find(args.image).filter((image) => !cache.remove(image));
    if (used.length === 0) return;
    throw new HakoError({
      code: "state",
      message: `image ${used[0]?.id} is in use`,
      hint: "a container has it as its root file system",
    });
  },
});

const prune = defineCommand({
  meta: { description: "remove each unpacked image that no container uses, and what killed commands left" },
  args: {},
  examples: ["hako image prune"],
  async run() {
    const { ImageCache } = await import("../image/cache");
    for (const { id } of new ImageCache().prune()) print(`${id}\n`);
  },
});

/** What hako calls in a user namespace (in-namespace.ts). */
const inside = defineCommand({
  meta: { description: "make and remove files of several owners", hidden: true },
  args: {
    work: { type: "positional", required: true, description: "unpack or remove", completes: [] },
    path: { type: "positional", required: true, description: "where" },
    reference: { type: "positional", required: false, description: "the image" },
  },
  examples: ["hako image inside remove DIR"],
  async run({ args }) {
    const { workInside } = await import("../image/in-namespace");
    print(await workInside(args.work, args.path, args.reference));
  },
});

export default defineCommand({ subCommands: { list, remove, prune, inside } });
