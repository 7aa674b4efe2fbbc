import type { TemplateUse } from "../../settings/settings";
import type { Probe } from "./probe";

/** What a probe comes to, for people. */
export function machineWords({ accelerator, trials }: Pick<Probe, "accelerator" | "trials">): string {
  if (accelerator === "kvm") return "by KVM";
  const failed = trials.filter(({ works }) => !works).map((trial) => `${trial.accelerator}: ${trial.reason}`);
  if (accelerator === undefined) return `none can be had: ${failed.join("; ")}`;
  const why = failed.length === 0 ? "" : ` (${failed.join("; ")})`;
  return `emulated: slow, and no security boundary${why}`;
}

/** How machines of containers are made; undefined where that is not known yet. */
export function templateWords(use: TemplateUse | undefined): string {
  if (use === undefined) return "not known yet: hako machine probe";
  return USES[use];
}

const USES: Readonly<Record<TemplateUse, string>> = {
  shared: "restored from a template, whose memory they share",
  copy: "restored from a copy of a template",
  off: "booted",
};
