import { during, HakoError } from "../../../base/errors";
import { bytesOf } from "../../../linux/call/bytes";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { syscallOn } from "../../../linux/call/syscall";
import { exists, hasErrno, readText } from "../../../linux/file/file";
import { openInRoot } from "../../../linux/file/path";
import { writeSteps } from "../../../linux/steps/child-steps";
import type { Process } from "../../../oci/config";

/** Loaded on first use. */
const rare = {
  get sysctl() {
    return require("./sysctl") as typeof import("./sysctl");
  },
};

/** A text that the kernel takes for the next execve of this thread. */
interface ExecLabel {
  field: string;
  text: string;
  /** Below /proc/thread-self/attr; the first that is there. */
  files: readonly string[];
}

/** Whether this kernel enforces AppArmor profiles. */
function hasAppArmor(): boolean {
  try {
    return readText("/sys/module/apparmor/parameters/enabled").startsWith("Y");
  } catch {
    return false;
  }
}

/** Whether this kernel has SELinux. */
export function hasSelinux(): boolean {
  return exists("/sys/fs/selinux/enforce");
}

function labelsOf({ apparmorProfile, selinuxLabel }: Process): ExecLabel[] {
  const labels: ExecLabel[] = [];
  if (apparmorProfile !== undefined && apparmorProfile !== "") {
    const files = ["apparmor/exec", "exec"];
    labels.push({ field: "apparmorProfile", text: `exec ${apparmorProfile}`, files });
  }
  if (selinuxLabel !== undefined && selinuxLabel !== "") {
    labels.push({ field: "selinuxLabel", text: selinuxLabel, files: ["exec"] });
  }
  return labels;
}

/** Refuses labels that the host can't enforce, by its own /sys: inside a container there may be another. */
export function checkLabels({ apparmorProfile, selinuxLabel }: Process): void {
  const refuse = (field: string, what: string) =>
    new HakoError({
      code: "unsupported",
      message: `config /process/${field}: ${what} is not enabled on this host`,
      hint: "remove the field, or for podman and docker use --security-opt apparmor=unconfined or label=disable",
    });
  if (apparmorProfile && apparmorProfile !== "unconfined" && !hasAppArmor())
    throw refuse("apparmorProfile", "AppArmor");
  if (selinuxLabel && !hasSelinux()) throw refuse("selinuxLabel", "SELinux");
}

/** Labels that change something. */
function wantedLabels(process: Process): ExecLabel[] {
  return labelsOf(process).filter(({ text }) => text !== "exec unconfined");
}

/**
 * The labels that the program gets from the kernel when it is executed by this thread, through a procfs that is nobody
 * else's: the container's may not be one.
 */
export function applyLabels(process: Process): void {
  const labels = wantedLabels(process);
  if (labels.length === 0) return;
  using proc = rare.sysctl.privateProc();
  if (proc === undefined) {
    throw new HakoError({
      code: "system",
      message: "no procfs of our own to set labels with",
      errno: "EPERM",
    });
  }
  for (const { field, text, files } of labels) {
    during(`config /process/${field}: ${text}`, () => {
      using file = openFirst(proc, files);
      const bytes = bytesOf(text);
      syscallOn(file.path, "write", file.number, bytes, bytes.length);
    });
  }
}

/**
 * Sets these labels for whoever makes these system calls, or for its child, through the host's procfs, which must still be there.
 * `number` is the lowest descriptor that the process has free.
 */
export function labelSteps(process: Process, number: number): Step[] {
  return wantedLabels(process).flatMap(({ field, text, files }) => {
    const what = `config /process/${field}: ${text}`;
    const file = files.find((name) => exists(`/proc/thread-self/attr/${name}`)) ?? files[0] ?? "";
    const path = `/proc/thread-self/attr/${file}`;
    return writeSteps(path, text, number, { what: `${what}: write ${path}` });
  });
}

function openFirst(proc: Fd, files: readonly string[]): Fd {
  const [first = "", ...others] = files;
  try {
    return openInRoot(proc, `thread-self/attr/${first}`, O.WRONLY);
  } catch (error) {
    if (others.length === 0 || !hasErrno(error, "ENOENT")) throw error;
    return openFirst(proc, others);
  }
}
