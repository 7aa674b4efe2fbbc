import type { InferOutput } from "valibot";
import { HakoError } from "../base/errors";
import { printable } from "../base/printable";
import type { Change } from "../changes/change";
import { defineCommand } from "../cli/command";
import type { changeDocument } from "../output/documents";
import { print, printJson } from "../output/print";
import { toStandardError } from "../output/standard-error";
import { printTable } from "../output/table";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";

const DIRECTORY = {
  type: "positional",
  required: true,
  description: "the directory that run --changes was given",
} as const;

const show = defineCommand({
  meta: { description: "what was added, changed and removed; first what runs by itself, or has rights" },
  args: {
    dir: DIRECTORY,
    diff: { type: "boolean", description: "print how texts have changed, as diff -u" },
    ...FORMAT_FLAGS,
  },
  rest: "[PATH...]",
  examples: [
    "hako changes ../changes",
    "hako changes show --diff ../changes",
    "hako changes --json ../changes src",
  ],
  async run({ args, rest }) {
    const { withReach } = await import("../changes/reach");
    return await withReach(args.dir, { needsIds: false }, async (directory, read) => {
      const { record, journal } = directory;
      const changes = record === undefined ? [] : read(directory.fd, record, journal, rest);
      if (wantsJson(args)) printJson(changes.map(fields));
      else if (args.diff && record !== undefined) {
        const { textDiff } = await import("../changes/text-diff");
        for (const change of byWeight(changes)) {
          const text = textDiff(directory.fd, record, change);
          print(text === undefined ? `${changeLine(change)}\n` : text.split("\n").map(printable).join("\n"));
        }
      } else if (changes.length > 0)
        printTable(["CHANGE", "PATH", "WHAT", "NOTE"], byWeight(changes).map(row));
    });
  },
});

/** What runs by itself comes first. */
function byWeight(changes: readonly Change[]): Change[] {
  const isHeavy = ({ noteworthy }: Change) => noteworthy !== undefined;
  return [...changes.filter(isHeavy), ...changes.filter((change) => !isHeavy(change))];
}

/** What JSON tells of a change. */
function fields({ path, kind, type, what, from, to, ...notes }: Change): InferOutput<typeof changeDocument> {
  const { noteworthy, conflict, obstacle, leftOut, rights } = notes;
  const shown = (of: Change["from"]) =>
    of && { ...of, mode: of.mode.toString(8).padStart(4, "0"), target: of.target ?? null };
  return {
    ...{ path, change: kind, type, what: [...what] },
    from: shown(from) ?? null,
    to: shown(to) ?? null,
    noteworthy: noteworthy ?? null,
    rights: rights ?? null,
    conflict: conflict ?? obstacle ?? null,
    leftOut: leftOut ?? null,
  };
}

function row(change: Change): string[] {
  const { kind, path, noteworthy, conflict, obstacle, leftOut } = change;
  const left = leftOut === undefined ? undefined : `${leftOut}: not applied`;
  const notes = [noteworthy, conflict, obstacle, left].filter((note) => note !== undefined);
  // a row is a line
  return [kind, path, whatOf(change), notes.join("; ")].map((cell) => printable(cell));
}

function changeLine(change: Change): string {
  return row(change)
    .filter((cell) => cell !== "")
    .join(" ");
}

function whatOf({ kind, type, what, from, to }: Change): string {
  const link = to?.target === undefined ? "" : ` to ${to.target}`;
  if (kind !== "changed") return `${type}${link}`;
  const words = what.map((difference) => {
    if (difference === "mode") return `mode ${from?.mode.toString(8)} to ${to?.mode.toString(8)}`;
    if (difference === "owner") return `owner ${from?.owner} to ${to?.owner}`;
    if (difference === "type") return `${from?.type} to ${type}${link}`;
    return difference === "target" ? `target ${from?.target}${link}` : difference;
  });
  return words.join(", ");
}

const apply = defineCommand({
  meta: { description: "make the changes true on the host, all of them or those at and below PATHs" },
  args: {
    dir: DIRECTORY,
    force: {
      type: "boolean",
      alias: "f",
      description:
        "also what was changed on the host since, setuid and setgid bits, and capabilities of files",
    },
  },
  rest: "[PATH...]",
  examples: ["hako changes apply ../changes", "hako changes apply ../changes src/main.c docs"],
  async run({ args, rest }) {
    const { dir, force } = args;
    const { withReach } = await import("../changes/reach");
    return await withReach(dir, { needsIds: true }, async (directory, read) => {
      const record = directory.claim();
      directory.removeDiscarded();
      if (record === undefined) return;
      const { journal } = directory;
      const { applyChanges, checkApplicable, refuseImage } = await import("../changes/apply");
      refuseImage(directory.path, record);
      directory.cleanUp();
      const changes = read(directory.fd, record, journal, rest);
      const refused = checkApplicable(changes, { force });
      for (const { path, why } of refused) toStandardError(`${printable(path)}: ${why}\n`);
      if (refused.length > 0)
        throw new HakoError({
          code: "state",
          message: `nothing was applied: ${refused.length} of ${changes.length} changes can't be`,
          hint: "hako changes apply DIR PATH... applies others; --force takes what was changed on the host since",
        });
      const { changes: count, leftOut } = applyChanges(directory.fd, record, changes, { force }, journal);
      for (const { path, why } of leftOut) toStandardError(`left out: ${printable(path)}: ${why}\n`);
      if (rest.length === 0) directory.discard();
      print(`applied ${count} ${count === 1 ? "change" : "changes"}\n`);
    });
  },
});

const discard = defineCommand({
  meta: { description: "throw the changes away" },
  args: { dir: DIRECTORY },
  examples: ["hako changes discard ../changes"],
  async run({ args }) {
    const { withReach } = await import("../changes/reach");
    return await withReach(args.dir, { needsIds: false }, async (directory) => {
      directory.claim();
      directory.discard();
    });
  },
});

export default defineCommand({ usual: "show", subCommands: { show, apply, discard } });
