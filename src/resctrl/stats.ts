import { exists, hasErrno, listNames, readText } from "../linux/file/file";
import { groupOf, type IntelRdt, mountedAt, normalSchema } from "./resctrl";

/** Numbers of a container from resctrl (filesystems/resctrl.rst), with the names of `runc events`. */
export interface RdtStats {
  l3_cache_info?: { cbm_mask: string; min_cbm_bits: number; num_closids: number };
  /** The schema of the default class, and below that of the container's class. */
  l3_cache_schema_root?: string;
  l3_cache_schema?: string;
  mem_bw_info?: { bandwidth_gran: number; delay_linear: number; min_bandwidth: number; num_closids: number };
  mem_bw_schema_root?: string;
  mem_bw_schema?: string;
  /** Bytes that went over the memory bus, for each L3 cache. */
  mbm_stats?: { mbm_total_bytes: number; mbm_local_bytes: number }[];
  /** Bytes in each L3 cache. */
  cmt_stats?: { llc_occupancy: number }[];
}

/** What the processor offers, and what it counts for a container's class; nothing where resctrl has gone. */
export function rdtStats(rdt: IntelRdt, id: string, root = mountedAt()): RdtStats {
  if (root === undefined) return {};
  const group = groupOf(rdt, id, root);
  if (!exists(group)) return {};
  const stats: RdtStats = {};
  const value = (file: string) => text(`${root}/info/${file}`);
  if (exists(`${root}/info/L3`)) {
    stats.l3_cache_info = {
      cbm_mask: value("L3/cbm_mask"),
      min_cbm_bits: Number(value("L3/min_cbm_bits")),
      num_closids: Number(value("L3/num_closids")),
    };
    stats.l3_cache_schema_root = schema(root, "L3");
    stats.l3_cache_schema = schema(group, "L3");
  }
  if (exists(`${root}/info/MB`)) {
    stats.mem_bw_info = {
      bandwidth_gran: Number(value("MB/bandwidth_gran")),
      delay_linear: Number(value("MB/delay_linear")),
      min_bandwidth: Number(value("MB/min_bandwidth")),
      num_closids: Number(value("MB/num_closids")),
    };
    stats.mem_bw_schema_root = schema(root, "MB");
    stats.mem_bw_schema = schema(group, "MB");
  }
  const features = value("L3_MON/mon_features").split("\n");
  // several containers may share a class: a monitoring group counts for this one alone
  const own = rdt.enableMonitoring === true ? `${group}/mon_groups/${id}` : group;
  const caches = exists(`${own}/mon_data`) ? listNames(`${own}/mon_data`).toSorted() : [];
  const counted = caches.filter((name) => name.startsWith("mon_L3_"));
  const counter = (cache: string, file: string) => Number(text(`${own}/mon_data/${cache}/${file}`)) || 0;
  if (features.includes("mbm_total_bytes") || features.includes("mbm_local_bytes")) {
    stats.mbm_stats = counted.map((cache) => ({
      mbm_total_bytes: counter(cache, "mbm_total_bytes"),
      mbm_local_bytes: counter(cache, "mbm_local_bytes"),
    }));
  }
  if (features.includes("llc_occupancy")) {
    stats.cmt_stats = counted.map((cache) => ({ llc_occupancy: counter(cache, "llc_occupancy") }));
  }
  return stats;
}

/** The schema of a resource; "" on processors that divide the cache into code and data. */
function schema(group: string, resource: string): string {
  const lines = text(`${group}/schemata`).split("\n");
  return lines.find((line) => normalSchema(line).startsWith(`${resource}:`))?.trim() ?? "";
}

function text(file: string): string {
  try {
    return readText(file).trim();
  } catch (error) {
    // kernels differ in these files, and a counter that is not available is EIO
    if (hasErrno(error, "ENOENT") || hasErrno(error, "EIO")) return "";
    throw error;
  }
}
