import { HakoError } from "../../../base/errors";
import { UndoStack } from "../../../base/undo";
import { LOCK } from "../../../linux/call/constants";
import { callerVariables } from "../../../linux/file/caller-environment";
import {
  exists,
  listNames,
  makeDirectories,
  makeDirectory,
  removeTree,
  renameFile,
} from "../../../linux/file/file";
import { findHostProgram } from "../../../linux/process/execute";
import { logWarning } from "../../../output/log";
import { lockFile } from "../../../state/file-lock";
import { checkWay } from "../../../state/trusted-path";
import { downloadablePackages, installLine } from "./distribution";
import { kernelsDirectory, namesOfKernels, TEMPORARY } from "./find-kernel";

/** What apt and dpkg are called with: no prompts, no other user who may not enter our directory, and words of one language. */
const APT = ["-qq", "-o", "APT::Sandbox::User=root"] as const;

/** A package with a kernel, or with its modules where those have one of their own. */
const KERNEL_PACKAGE = /^linux-(image|modules)-[0-9]/;

function call(words: readonly string[], cwd: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...words], {
    cwd,
    env: { ...callerVariables(), LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
    stdin: "ignore",
    stderr: "pipe",
  });
  if (exitCode === 0) return stdout.toString();
  const [reason = `exit status ${exitCode}`] = stderr
    .toString()
    .split("\n")
    .filter((line) => line.startsWith("E: ") || line.startsWith("dpkg-deb: error"));
  throw new HakoError({
    code: "system",
    message: `${words[0]} ${words.find((word) => /^[a-z]+$/.test(word)) ?? ""}: ${reason}`,
    hint: "apt-get update, perhaps",
  });
}

/** Packages that a package depends on, itself first. */
function dependenciesOf(name: string): string[] {
  const text = call(["apt-cache", "depends", name], "/");
  return [...text.matchAll(/^ +(?:Pre)?Depends: (\S+)$/gm)].map(([, dependency = ""]) => dependency);
}

/** The packages that have a kernel and its modules: a package of a name that stays depends on the newest. */
function kernelPackages(): string[] {
  for (const general of downloadablePackages()) {
    const direct = dependenciesOf(general).filter((name) => KERNEL_PACKAGE.test(name));
    const [image] = direct.filter((name) => name.startsWith("linux-image-"));
    if (image === undefined) continue;
    const modules = dependenciesOf(image).filter((name) => name.startsWith("linux-modules-"));
    return [...new Set([image, ...modules.filter((name) => KERNEL_PACKAGE.test(name))])];
  }
  throw new HakoError({
    code: "unsupported",
    message: `apt knows none of ${downloadablePackages().join(", ")}`,
    hint: "apt-get update, perhaps",
  });
}

/**
 * Fetches the distribution's kernel package and unpacks it, installing nothing; the name of the package. One that is here already is not
 * fetched again, unless with `anew`; older ones are removed.
 */
export function downloadKernel(anew: boolean): string {
  if (downloadablePackages().length === 0 || findHostProgram("apt-get") === undefined)
    throw new HakoError({
      code: "unsupported",
      message: "--download: only apt is known here",
      hint: `${installLine("kernel")}: a kernel that is installed is found`,
    });
  const directory = kernelsDirectory();
  checkWay("kernels", directory);
  makeDirectories(directory, 0o755);
  checkWay("kernels", directory);
  const packages = kernelPackages();
  const [name = ""] = packages;
  const place = `${directory}/${name}`;
  using _ = lockFile(`${directory}/.lock`, LOCK.EX);
  if (exists(place) && !anew) return name;
  removeLeft(directory);
  const temporary = place + TEMPORARY;
  const archives = `${temporary}/archives`;
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  undo.defer(temporary, () => removeTree(temporary));
  makeDirectory(temporary, 0o755);
  makeDirectory(archives, 0o755);
  call(["apt-get", ...APT, "download", ...packages], archives);
  for (const archive of listNames(archives))
    call(["dpkg-deb", "-x", `${archives}/${archive}`, temporary], "/");
  removeTree(archives);
  // what is removed is not half there meanwhile
  if (exists(place)) renameFile(place, `${directory}/old${TEMPORARY}`);
  renameFile(temporary, place);
  undo.commit();
  for (const other of namesOfKernels(directory).filter((each) => each !== name))
    renameFile(`${directory}/${other}`, `${directory}/${other}${TEMPORARY}`);
  removeLeft(directory);
  return name;
}

/** Removes what was removed by half, and what commands have left that were killed. */
function removeLeft(directory: string): void {
  for (const left of listNames(directory).filter((each) => each.endsWith(TEMPORARY)))
    removeTree(`${directory}/${left}`);
}
