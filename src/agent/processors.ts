import { HakoError } from "../base/errors";
import { listNames, readText, tryReadText, writeText } from "../linux/file/file";
import { parseNumberList } from "../linux/process/number-list";

const CPUS = "/sys/devices/system/cpu";
/** How long the kernel may take to see a processor that was plugged. */
const PLUG_MS = 10_000;
const PAUSE_MS = 5;

/** Brings processors online, in their order and as they appear, until there are so many. */
export function useProcessors(count: number): void {
  const deadline = performance.now() + PLUG_MS;
  for (;;) {
    const online = parseNumberList(readText(`${CPUS}/online`).trim())?.length ?? 1;
    if (online >= count) return;
    const files = listNames(CPUS)
      .filter((name) => /^cpu\d+$/.test(name))
      .sort((one, other) => Number(one.slice(3)) - Number(other.slice(3)))
      .map((name) => `${CPUS}/${name}/online`);
    const next = files.find((file) => tryReadText(file)?.trim() === "0");
    if (next !== undefined) writeText(next, "1", 0o644);
    else if (performance.now() < deadline) Bun.sleepSync(PAUSE_MS);
    else throw new HakoError({ code: "system", message: `${online} of ${count} processors are there` });
  }
}
