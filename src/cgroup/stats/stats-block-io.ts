import { exactNumber, tryReadValue } from "../hierarchy/files";
import type { BlkioEntry, CgroupStats } from "./stats-types";

type BlockIo = CgroupStats["blkio"];

/** What v1's files are called by the scheduler that counts: bfq, cfq before Linux 5.0, or none, which is throttling. */
const BFQ_OR_CFQ = (what: string) => [`bfq.${what}_recursive`, `${what}_recursive`];
const ANY = (what: string) => [...BFQ_OR_CFQ(what), `throttle.${what}_recursive`, `throttle.${what}`];

/** Of the blkio controller's files. */
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

/** "8:0 Read 4096" and "8:0 4096" lines; the "Total 0" line is no device's. */
function blkioEntries(text: string): BlkioEntry[] {
  const matches = text.matchAll(/^(\d+):(\d+) (?:([A-Za-z]+) )?(\d+)$/gm);
  return [...matches].map(([, major, minor, op, value = ""]) => ({
    major: Number(major),
    minor: Number(minor),
    ...(op === undefined ? {} : { op }),
    value: exactNumber(value),
  }));
}

/** "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" lines. */
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
