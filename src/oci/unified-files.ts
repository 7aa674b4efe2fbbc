/** Files of cgroup v2's core that are limits. The other ones move processes, freeze them, kill them, or hand controllers on. */
const CORE_LIMITS = ["cgroup.max.depth", "cgroup.max.descendants"];

/** Why a key of linux.resources.unified is refused; undefined if it may be a limit (config-linux.md "Unified"). */
export function unifiedFileProblem(file: string): string | undefined {
  if (!/^[a-z_]+\.[A-Za-z0-9_.]+$/.test(file))
    return `${JSON.stringify(file)} is not the name of a cgroup file`;
  if (!file.startsWith("cgroup.") || CORE_LIMITS.includes(file)) return undefined;
  return `${JSON.stringify(file)} is no controller's: it limits nothing`;
}
