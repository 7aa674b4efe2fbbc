import { exactNumber, tryReadValue } from "../hierarchy/files";
import type { BlkioEntry, CgroupStats } from "./stats-types";

type BlockIo = CgroupStats["blkio"];

/** Names of v1's files. They depend on the scheduler that counts: bfq, cfq before Linux 5.0, or else the throttle. */
const BFQ_OR_CFQ = (what: string) => [`bfq.${what}_recursive`, `${what}_recursive`];
const ANY = (what: string) => [...BFQ_OR_CFQ(what), `throttle.${what}_recursive`, `throttle.${what}`];

/** Reads the files of v1's blkio controller. */
export function blockIoV1(dir: string): BlockIo {
  const first = (names: string[]): BlkioEntry[] => {
    for (const name of names) {
      const entries = blkioEntries(tryReadValue(`${dir}/blkio.${name}`) ?? "");
      if (entries.length > 0) return entries;
    }
    return [];
  };
  const ifAny = (names: string[]) => {
    const entries = first(names);
    return entries.length === 0 ? undefined : entries;
  };
  return {
    ioServiceBytesRecursive: first(ANY("io_service_bytes")),
    ioServicedRecursive: first(ANY("io_serviced")),
    ioQueueRecursive: ifAny(BFQ_OR_CFQ("io_queued")),
    ioServiceTimeRecursive: ifAny(BFQ_OR_CFQ("io_service_time")),
    ioWaitTimeRecursive: ifAny(BFQ_OR_CFQ("io_wait_time")),
    ioMergedRecursive: ifAny(BFQ_OR_CFQ("io_merged")),
    ioTimeRecursive: ifAny(BFQ_OR_CFQ("time")),
    sectorsRecursive: ifAny(BFQ_OR_CFQ("sectors")),
  };
}

/** Reads lines "8:0 Read 4096" and "8:0 4096". The line "Total 0" is left out. */
function blkioEntries(text: string): BlkioEntry[] {
  const matches = text.matchAll(/^(\d+):(\d+) (?:([A-Za-z]+) )?(\d+)$/gm);
  return [...matches].map(([, major, minor, op, value = ""]) => ({
    major: Number(major),
    minor: Number(minor),
    ...(op === undefined ? {} : { op }),
    value: exactNumber(value),
  }));
}

/** Reads lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" of v2's io.stat. */
export function ioStat(text: string): BlockIo {
  const bytes: BlkioEntry[] = [];
  const counts: BlkioEntry[] = [];
  const keys: Record<string, [BlkioEntry[], string]> = {
    rbytes: [bytes, "Read"],
    wbytes: [bytes, "Write"],
    dbytes: [bytes, "Discard"],
    rios: [counts, "Read"],
    wios: [counts, "Write"],
    dios: [counts, "Discard"],
  };
  for (const line of text.split("\n")) {
    const [device = "", ...pairs] = line.split(" ");
    const [major, minor] = device.split(":").map(Number);
    for (const pair of pairs) {
      const [key = "", value = ""] = pair.split("=");
      const place = keys[key];
      if (place === undefined || major === undefined || minor === undefined) continue;
      place[0].push({ major, minor, op: place[1], value: exactNumber(value) });
    }
  }
  return { ioServiceBytesRecursive: bytes, ioServicedRecursive: counts };
}
