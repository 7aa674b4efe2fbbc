import { type ErrnoName, errnoNumber, errnoText } from "../../base/errno";
import { asHakoError } from "../../base/errors";
import { idsOnHost, mayExecute } from "../../drivers/namespaces/program/may-execute";
import {
  environmentOf,
  notExecuted,
  notFound,
  placesOf,
} from "../../drivers/namespaces/program/program-file";
import { explainExecution, lookAtProgram, type Sight, type SightPlace } from "../../explain/execution";
import type { HookKind } from "../../hooks/hooks";
import { readFormat } from "../../linux/file/executable";
import { fileStatusOf } from "../../linux/file/stat";
import type { Problem, Process } from "../../oci/config";
import { keepsGroups } from "../../oci/groups";
import type { CheckedConfig } from "../../oci/validate";
import { RootfsView } from "./rootfs-view";

/** The programs that a config names, the container's own and hooks. They are looked at from outside, and never run. */

/** Kinds of hooks whose failure is a warning of delete, and fails neither create nor start. */
const LENIENT: ReadonlySet<HookKind> = new Set<HookKind>(["poststop"]);

/** Why the kernel would refuse to execute a program; undefined if no reason is known. */
function obstacle(sight: Sight): ErrnoName | undefined {
  if (sight.errno !== undefined) return sight.errno;
  if (sight.directory || sight.noexec) return "EACCES";
  if (sight.format?.kind === "empty" || sight.format?.kind === "text") return "ENOEXEC";
  return sight.interpreter === undefined ? undefined : obstacle(sight.interpreter);
}

export function hookProblems(checked: CheckedConfig): { problems: Problem[]; warnings: Problem[] } {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const { hooks = {} } = checked.config;
  let inside: SightPlace | undefined;
  for (const kind of Object.keys(hooks) as HookKind[]) {
    (hooks[kind] ?? []).forEach(({ path }, index) => {
      if (!path.startsWith("/")) return;
      // other kinds of hooks run while the host's files are there
      if (kind === "startContainer") inside ??= placeInside(checked);
      const sight = lookAtProgram(path, kind === "startContainer" ? inside : undefined);
      const errno = obstacle(sight);
      if (errno === undefined) return;
      const { why, hint } = explainExecution(sight, errno);
      const reason = `hook ${path}: ${errnoText(errno)}${why === undefined ? "" : `: ${why}`}`;
      const message = hint === undefined ? reason : `${reason} (${hint})`;
      (LENIENT.has(kind) ? warnings : problems).push({ pointer: `/hooks/${kind}/${index}`, message });
    });
  }
  return { problems, warnings };
}

/** The container's program, as create looks for it: in PATH, as its user. */
export function programProblems(checked: CheckedConfig): Problem[] {
  const { process } = checked.config;
  const [name] = process?.args ?? [];
  if (process === undefined || name === undefined) return [];
  try {
    checkProgram(checked, process, name);
    return [];
  } catch (thrown) {
    return [{ pointer: "/process/args/0", message: asHakoError(thrown).oneLine }];
  }
}

function checkProgram(checked: CheckedConfig, process: Process, name: string): void {
  const place = placeInside(checked);
  const environment = environmentOf(process, () => "/");
  let denied: { path: string; sight: Sight } | undefined;
  for (const path of placesOf(name, environment)) {
    const sight = lookAtProgram(path, place);
    const { errno, directory } = sight;
    if (errno === undefined && !directory) return;
    const missing = errno === "ENOENT" || errno === "ENOTDIR";
    if (path === name) throw notExecuted(name, path, errnoNumber(errno ?? "EACCES"), sight);
    if (!missing && !directory) denied ??= { path, sight };
  }
  if (denied === undefined) throw notFound(name, environment);
  throw notExecuted(name, denied.path, errnoNumber("EACCES"), denied.sight);
}

/** The container's files, as its user finds them. What can't be known yet counts as a program that can be executed. */
function placeInside({ config, bundle, rootfs }: CheckedConfig): SightPlace {
  const view = new RootfsView({ rootfs, bundle, mounts: config.mounts });
  const { process = { user: { uid: 0, gid: 0 } } } = config;
  // ".." is kept: where it leads depends on links
  const absolute = (path: string) => (path.startsWith("/") ? path : `${config.process?.cwd ?? ""}/${path}`);
  const own = (status: ReturnType<typeof fileStatusOf>) =>
    mayExecute(status, process, keepsGroups(config), idsOnHost(config));
  return {
    open(path) {
      const seen = view.look(absolute(path));
      return typeof seen === "string" ? undefined : seen;
    },
    // it was an ordinary file, so opening it can't block
    format: (_, found) => readFormat(found.path),
    errno(path) {
      const seen = view.look(absolute(path));
      if (seen === "missing") return "ENOENT";
      if (seen === "unknown") return undefined;
      using file = seen;
      return own(fileStatusOf(file)) ? undefined : "EACCES";
    },
    user: process.user.uid,
  };
}
