import type { Probe } from "./probe";

/** What a probe comes to, for people. */
export function machineWords({ accelerator, trials }: Pick<Probe, "accelerator" | "trials">): string {
  if (accelerator === "kvm") return "by KVM";
  const failed = trials.filter(({ works }) => !works).map((trial) => `${trial.accelerator}: ${trial.reason}`);
  if (accelerator === undefined) return `none can be had: ${failed.join("; ")}`;
  const why = failed.length === 0 ? "" : ` (${failed.join("; ")})`;
  return `emulated: slow, and no security boundary${why}`;
}
