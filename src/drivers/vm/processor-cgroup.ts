import { HakoError } from "../../base/errors";
import { Target } from "../../cgroup/controllers/target";
import { tryReadValue, writeValue } from "../../cgroup/hierarchy/files";
import { directoryOf } from "../../cgroup/hierarchy/node";
import type { CgroupRecord } from "../../cgroup/hierarchy/record";
import { exists, listNames, makeNewDirectory, tryReadText } from "../../linux/file/file";
import type { CpuLimit } from "./cpu-limits";

/** Where the threads are that run a guest's instructions, below the cgroup that QEMU is in. */
const NAME = "vcpu";
/** A new thread may begin another one just now. */
const ROUNDS = 5;

/**
 * Puts the threads that are a machine's processors into a cgroup of their own below the one that QEMU is in, with a limit of their time; other
 * threads of QEMU's have none. Without a limit, and before there was one, nothing is made. `processors` are the threads as QEMU calls them.
 *
 * - v1: a list of threads (`tasks`) in the hierarchy of the cpu controller.
 * - v2: a threaded cgroup, whose parent becomes the domain of its threads (cgroup-v2.rst, "Threads").
 */
export function limitProcessors(
  record: CgroupRecord,
  qemu: number,
  processors: () => readonly number[],
  limit: CpuLimit | undefined,
): void {
  // an ordinary user has none, mostly: there is the container's limit in the guest alone
  if (record.nodes.every(({ skipped }) => skipped !== undefined)) return;
  const target = new Target(record);
  const node = limit === undefined ? target.find("cpu") : target.need("cpu", "/cpu/quota");
  if (node === undefined) return;
  const parent = directoryOf(node);
  const dir = `${parent}/${NAME}`;
  if (limit === undefined && !exists(dir)) return;
  const isNew = makeNewDirectory(dir, 0o755);
  if (node.unified && (isNew || tryReadValue(`${dir}/cgroup.type`) !== "threaded")) {
    writeValue(`${dir}/cgroup.type`, "threaded");
    writeValue(`${parent}/cgroup.subtree_control`, "+cpu");
  }
  if (node.unified)
    writeValue(`${dir}/cpu.max`, limit === undefined ? "max" : `${limit.quota} ${limit.period}`);
  else {
    // beside the old quota a new period may be refused
    writeValue(`${dir}/cpu.cfs_quota_us`, "-1");
    if (limit !== undefined) {
      writeValue(`${dir}/cpu.cfs_period_us`, String(limit.period));
      writeValue(`${dir}/cpu.cfs_quota_us`, String(limit.quota));
    }
  }
  const list = `${dir}/${node.unified ? "cgroup.threads" : "tasks"}`;
  for (const thread of hostThreads(qemu, processors())) writeValue(list, String(thread));
}

/** The host's numbers of threads of a process that calls them otherwise, in a pid namespace of its own. */
function hostThreads(pid: number, inner: readonly number[]): number[] {
  for (let round = 0; round < ROUNDS; round++) {
    const found = listNames(`/proc/${pid}/task`).filter((thread) => {
      const numbers = /^NSpid:(.*)$/m.exec(tryReadText(`/proc/${pid}/task/${thread}/status`) ?? "")?.[1];
      return inner.includes(Number(numbers?.trim().split(/\s+/).at(-1)));
    });
    if (found.length === inner.length) return found.map(Number);
  }
  throw new HakoError({ code: "system", message: "QEMU tells of processors that are no threads of its own" });
}
