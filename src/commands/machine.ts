import { HakoError } from "../base/errors";
import { binarySize, sizeText } from "../base/size";
import { defineCommand } from "../cli/command";
import type { Part } from "../drivers/vm/setup";
import type { TemplateEntry } from "../drivers/vm/templates";
import { machineWords, templateWords } from "../drivers/vm/words";
import { print, printJson } from "../output/print";
import { printParagraph, printTable } from "../output/table";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";

/** What a probe comes to. The table has the reasons. */
const VERDICTS = {
  kvm: "by KVM",
  tcg: "emulated, which is slow and no security boundary",
  none: "none can be had on this host",
} as const;

/** Of a guest's key, as of an image's id. */
const SHORT = 12;

const setup = defineCommand({
  meta: { description: "make what machines are started with: a kernel, and an image with hako in it" },
  args: {
    download: {
      type: "boolean",
      description: "fetch the distribution's kernel package first, and unpack it: nothing is installed",
    },
    force: { type: "boolean", description: "fetch and make anew what is there already" },
  },
  examples: ["hako machine setup", "hako machine setup --download"],
  async run({ args }) {
    const { readSettings } = await import("../settings/settings");
    const { setUpMachines } = await import("../drivers/vm/setup");
    const { qemu, virtiofsd, kernel, guest } = setUpMachines(readSettings().machine, {
      download: args.download,
      force: args.force,
    });
    print(`QEMU ${qemu.version.join(".")}: ${qemu.path}\n`);
    print(
      "found" in virtiofsd
        ? `virtiofsd ${virtiofsd.found.version}: ${virtiofsd.found.path}\n`
        : `for files that containers in machines write: ${virtiofsd.missing.oneLine}\n`,
    );
    print(`kernel ${kernel.release}: ${kernel.path}\n`);
    print(
      `guest ${guest.key.slice(0, SHORT)}: ${binarySize(guest.size)}, ${guest.made ? "made" : "there"}\n`,
    );
  },
});

/** A time, for people. */
function minuteText(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 16);
}

function toldTemplate(template: TemplateEntry) {
  return { ...template, made: new Date(template.made).toISOString() };
}

/** What a part is, where it is there. */
function told<T, U>(part: Part<T>, tell: (found: T) => U): U | { missing: string } {
  return "found" in part ? tell(part.found) : { missing: part.missing.oneLine };
}

/** Its row in the table. */
function row<T extends { from: string }>(name: string, part: Part<T>, text: (found: T) => string): string[] {
  return "found" in part
    ? [name, part.found.from, text(part.found)]
    : [name, "not there", part.missing.oneLine];
}

const show = defineCommand({
  meta: { description: "what machines are made of on this host, and what is in the cache" },
  args: { ...FORMAT_FLAGS },
  examples: ["hako machine show"],
  async run({ args }) {
    const { readSettings } = await import("../settings/settings");
    const { viewMachines } = await import("../drivers/vm/setup");
    const { machine: settings } = readSettings();
    const { qemu, virtiofsd, kernel, guests, cache, probe, templates } = viewMachines(settings);
    const { accelerator, memory, cpus, template } = settings;
    if (wantsJson(args))
      printJson({
        qemu: told(qemu, ({ path, from, version }) => ({ path, from, version: version.join(".") })),
        virtiofsd: told(virtiofsd, ({ path, from, version }) => ({ path, from, version })),
        kernel: told(kernel, ({ path, release, from, modules }) => ({
          path,
          release,
          from,
          modules: modules.path,
        })),
        settings: { accelerator, memory, cpus, template },
        cache,
        guests: guests.map((guest) => ({ ...guest, made: new Date(guest.made).toISOString() })),
        templates: templates?.templates.map(toldTemplate) ?? [],
        probe: probe === undefined ? null : { ...probe, tried: new Date(probe.tried).toISOString() },
      });
    else
      printTable(
        ["PART", "FROM", "FOUND"],
        [
          row("QEMU", qemu, ({ path, version }) => `${version.join(".")}: ${path}`),
          row("kernel", kernel, ({ path, release }) => `${release}: ${path}`),
          ...("found" in kernel ? [["modules", kernel.found.from, kernel.found.modules.path]] : []),
          row("virtiofsd", virtiofsd, ({ path, version }) => `${version}: ${path}`),
          [
            "accelerator",
            accelerator,
            probe === undefined ? "not tried: hako machine probe" : machineWords(probe),
          ],
          ["memory", "settings", sizeText(memory)],
          ["processors", "settings", String(cpus)],
          ["template", template, templateWords(templates?.use)],
          ...guests.map(({ key, size, made, used }) => [
            used ? "guest" : "old guest",
            minuteText(made),
            `${binarySize(size)}: ${cache}/${key}`,
          ]),
          ...(templates?.templates ?? []).map(({ key, size, made, used }) => [
            used ? "template" : "old template",
            minuteText(made),
            `${binarySize(size)}: ${templates?.directory}/${key}`,
          ]),
        ],
      );
  },
});

const probe = defineCommand({
  meta: { description: "boot a machine, with KVM if that works here, else emulated" },
  args: {
    ...FORMAT_FLAGS,
    force: { type: "boolean", description: "boot, although it is known from an earlier probe what works" },
  },
  examples: ["hako machine probe", "hako machine probe --json"],
  async run({ args }) {
    const { readSettings } = await import("../settings/settings");
    const { findParts, knownProbe, probeMachines } = await import("../drivers/vm/probe");
    const parts = findParts(readSettings().machine);
    const kept = args.force ? undefined : knownProbe(parts);
    // what failed may work now: the machine was busy, perhaps
    const known = kept?.accelerator === undefined ? undefined : kept;
    const found = known ?? probeMachines(parts);
    if (wantsJson(args))
      printJson({
        ...found,
        accelerator: found.accelerator ?? null,
        tried: new Date(found.tried).toISOString(),
        known: known !== undefined,
      });
    else {
      printTable(
        ["ACCELERATOR", "WORKS", "FIRST ANSWER", "WHY NOT"],
        found.trials.map(({ accelerator, works, seconds, reason }) => [
          accelerator,
          works ? "yes" : "no",
          seconds === undefined ? "" : `${seconds.toFixed(2)} s`,
          reason ?? "",
        ]),
      );
      print("\n");
      const again = known === undefined ? "" : " This is known from an earlier probe; --force tries again.";
      printParagraph(`Machines: ${VERDICTS[found.accelerator ?? "none"]}.${again}`);
    }
    return found.accelerator === undefined ? 1 : 0;
  },
});

interface TemplateFlags {
  force: boolean;
  json: boolean;
  format: string;
}

const ACTIONS = ["show", "build", "remove"] as const;

/** What `machine template` does, and the flags that it has there. */
const TEMPLATE_ACTIONS: Record<
  (typeof ACTIONS)[number],
  { flags: readonly string[]; run: (given: TemplateFlags) => Promise<void> }
> = {
  build: {
    flags: ["force"],
    async run({ force }) {
      const { readSettings } = await import("../settings/settings");
      const { buildTemplate } = await import("../drivers/vm/templates");
      const { key, size, isNew } = buildTemplate(readSettings().machine, force);
      print(`template ${key.slice(0, SHORT)}: ${binarySize(size)}, ${isNew ? "made" : "there"}\n`);
    },
  },
  show: {
    flags: ["json", "format"],
    async run(args) {
      const { readSettings } = await import("../settings/settings");
      const { viewTemplates } = await import("../drivers/vm/templates");
      const { use, directory, templates } = viewTemplates(readSettings().machine);
      if (wantsJson(args)) {
        printJson({ use: use ?? null, directory, templates: templates.map(toldTemplate) });
        return;
      }
      printTable(
        ["TEMPLATE", "MADE", "SIZE", "USED"],
        templates.map(({ key, made, size, used }) => [
          key.slice(0, SHORT),
          minuteText(made),
          binarySize(size),
          used ? "yes" : "no",
        ]),
      );
      print("\n");
      printParagraph(`Machines of containers: ${templateWords(use)}. Templates are in ${directory}.`);
    },
  },
  remove: {
    flags: [],
    async run() {
      const { removeTemplates } = await import("../drivers/vm/templates");
      const { removed, left } = removeTemplates();
      print(`${removed} removed${left === 0 ? "" : `, ${left} in use`}\n`);
    },
  },
};

const template = defineCommand({
  meta: {
    description:
      "a saved machine, from which those of containers go on: show what is there, build it before the first container does, or remove all",
  },
  args: {
    action: {
      type: "positional",
      required: false,
      valueHint: ACTIONS.join("|"),
      description: `${ACTIONS.join(", ")}; show if not given`,
      completes: ACTIONS,
    },
    ...FORMAT_FLAGS,
    force: { type: "boolean", description: "build: make it anew, although it is there" },
  },
  examples: [
    "hako machine template build",
    "hako machine template show --json",
    "hako machine template remove",
  ],
  async run({ args }) {
    const { action: word = "show", ...flags } = args;
    const name = ACTIONS.find((each) => each === word);
    if (name === undefined)
      throw HakoError.usage(`machine template: "${word}" is not one of ${ACTIONS.join(", ")}`);
    const action = TEMPLATE_ACTIONS[name];
    for (const flag of ["force", "json", "format"] as const)
      if (flags[flag] && flags[flag] !== FORMAT_FLAGS.format.default && !action.flags.includes(flag))
        throw HakoError.usage(`machine template ${name} has no --${flag}`);
    await action.run(flags);
  },
});

export default defineCommand({ subCommands: { setup, show, probe, template } });
