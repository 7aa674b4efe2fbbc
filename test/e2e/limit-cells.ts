// What becomes of each field of linux.resources that is a number: left out, 0, -1, the most that its type holds. One row a field.

/** What a value does to the field's file: it stays as it was, it gets this text, or the command is refused. */
export type Outcome = "kept" | "refused" | { text: string };
/** On v1 and on v2. */
export type Cell = Outcome | readonly [v1: Outcome, v2: Outcome];
export type Peer = "runc" | "crun";
export type Version = "v1" | "v2";

/** The values that are tried of a field beside its base; what is left out of the config is "kept" for all. */
export const VALUES = ["zero", "minusOne", "most"] as const;
export type Value = (typeof VALUES)[number];

export interface LimitRow {
  field: string;
  controller: string;
  /** Its file in the container's cgroup; undefined where the version has none. */
  files: readonly [v1: string | undefined, v2: string | undefined];
  /** The resources in which the field has a value. */
  with: (value: number | bigint) => Record<string, object>;
  /** A value that it has before each update; undefined where there is none that every host takes. */
  base?: number;
  /** The most that the field's type holds. */
  most: bigint;
  cells: Record<Value, Cell>;
  /** Where runc 1.1.5 and crun 1.8.1 do something else; `create` and `update` where these two differ. */
  peers?: Partial<Record<Peer, Partial<Record<Value, PeerCell>>>>;
}

type PeerCell = Cell | { create: Cell; update: Cell };
export type Command = "create" | "update";

const isPair = (cell: Cell): cell is readonly [Outcome, Outcome] => Array.isArray(cell);

/** What the table says of a value of a field, for hako or a peer of it. */
export function cellOf(
  row: LimitRow,
  value: Value,
  { version, command, peer }: { version: Version; command: Command; peer: Peer | undefined },
): Outcome {
  const other: PeerCell = (peer === undefined ? undefined : row.peers?.[peer]?.[value]) ?? row.cells[value];
  const cell: Cell = typeof other === "object" && "create" in other ? other[command] : other;
  return isPair(cell) ? cell[version === "v1" ? 0 : 1] : cell;
}

const MIB = 1024 * 1024;
const INT64 = 2n ** 63n - 1n;
const UINT64 = 2n ** 64n - 1n;
const UINT32 = 2n ** 32n - 1n;
const UINT16 = 2n ** 16n - 1n;

/** The most pages that the kernel's counters hold, in bytes: v1's word for no limit. */
const V1_NONE: Outcome = { text: "9223372036854771712" };
const MAX: Outcome = { text: "max" };
const NONE: Cell = [V1_NONE, MAX];
const ZERO: Outcome = { text: "0" };
const NOTHING: Outcome = { text: "" };

/** Where a throttle's rate is tried. */
export interface Disk {
  major: number;
  minor: number;
}

const memory = (field: string, others: object = {}) => ({
  controller: "memory",
  with: (value: number | bigint) => ({ memory: { ...others, [field]: value } }),
});
const cpu = (field: string, others: object = {}) => ({
  controller: "cpu",
  with: (value: number | bigint) => ({ cpu: { ...others, [field]: value } }),
});

/** A rate of 0 takes a limit away, as does the most that there is. */
function throttle(field: string, file: string, key: string, disk: Disk): LimitRow {
  return {
    field: `blockIO/${field}`,
    controller: "blkio",
    files: [file, "io.max"],
    with: (rate) => ({ blockIO: { [field]: [{ ...disk, rate }] } }),
    base: key.endsWith("bps") ? 2 * MIB : 400,
    most: UINT64,
    cells: { zero: NOTHING, minusOne: "refused", most: NOTHING },
    // the kernel's io.max has no 0
    peers: {
      runc: {
        zero: { create: [NOTHING, "refused"], update: "kept" },
        most: { create: NOTHING, update: "kept" },
      },
      crun: { minusOne: NOTHING },
    },
  };
}

export function limitRows(disk: Disk): LimitRow[] {
  return [
    {
      field: "memory/limit",
      ...memory("limit"),
      files: ["memory.limit_in_bytes", "memory.max"],
      base: 64 * MIB,
      most: INT64,
      cells: { zero: "kept", minusOne: NONE, most: NONE },
      peers: { crun: { zero: "refused" } },
    },
    {
      field: "memory/swap",
      ...memory("swap", { limit: 64 * MIB }),
      files: ["memory.memsw.limit_in_bytes", "memory.swap.max"],
      base: 96 * MIB,
      most: INT64,
      cells: {
        zero: "kept",
        minusOne: NONE,
        most: [V1_NONE, { text: String(2n ** 63n - 4096n - 64n * 2n ** 20n) }],
      },
      peers: { crun: { zero: "refused" } },
    },
    {
      field: "memory/reservation",
      ...memory("reservation"),
      files: ["memory.soft_limit_in_bytes", "memory.low"],
      base: 32 * MIB,
      most: INT64,
      cells: { zero: "kept", minusOne: NONE, most: NONE },
      peers: { crun: { zero: ZERO } },
    },
    {
      field: "memory/swappiness",
      ...memory("swappiness"),
      files: ["memory.swappiness", undefined],
      base: 7,
      most: UINT64,
      // 0 is a swappiness; the most is how callers that count in unsigned numbers write -1
      cells: { zero: [ZERO, "refused"], minusOne: "refused", most: "kept" },
      peers: {
        // runc's update knows no swappiness
        runc: { zero: { create: [ZERO, "kept"], update: "kept" } },
        crun: { most: "refused" },
      },
    },
    {
      field: "memory/kernel",
      ...memory("kernel"),
      files: [undefined, undefined],
      base: 64 * MIB,
      most: INT64,
      // without effect on kernels that are newer than 5.16
      cells: { zero: "kept", minusOne: "kept", most: "kept" },
      peers: {
        crun: { zero: ["kept", "refused"], minusOne: ["kept", "refused"], most: ["kept", "refused"] },
      },
    },
    {
      field: "cpu/shares",
      ...cpu("shares"),
      files: ["cpu.shares", "cpu.weight"],
      base: 512,
      most: UINT64,
      cells: { zero: "kept", minusOne: "refused", most: ["refused", { text: "10000" }] },
      peers: {
        runc: { most: "refused" },
        crun: { minusOne: [{ text: "262144" }, "refused"], most: [{ text: "262144" }, "refused"] },
      },
    },
    {
      field: "cpu/quota",
      ...cpu("quota"),
      files: ["cpu.cfs_quota_us", "cpu.max"],
      base: 20_000,
      most: INT64,
      cells: { zero: "kept", minusOne: [{ text: "-1" }, { text: "max 100000" }], most: "refused" },
      peers: { crun: { minusOne: ["refused", "kept"] } },
    },
    {
      field: "cpu/period",
      ...cpu("period"),
      files: ["cpu.cfs_period_us", "cpu.max"],
      base: 50_000,
      most: UINT64,
      cells: { zero: "kept", minusOne: "refused", most: "refused" },
      peers: { crun: { minusOne: ["refused", "kept"], most: ["refused", "kept"] } },
    },
    {
      field: "cpu/burst",
      ...cpu("burst", { quota: 20_000 }),
      files: ["cpu.cfs_burst_us", "cpu.max.burst"],
      base: 10_000,
      most: UINT64,
      cells: { zero: ZERO, minusOne: "refused", most: "refused" },
      peers: {
        // newer than both
        runc: { zero: "kept", most: "kept" },
        crun: { zero: "kept", minusOne: "kept", most: "kept" },
      },
    },
    {
      field: "cpu/idle",
      ...cpu("idle"),
      files: ["cpu.idle", "cpu.idle"],
      base: 1,
      most: INT64,
      cells: { zero: ZERO, minusOne: "refused", most: "refused" },
      peers: {
        // newer than runc 1.1
        runc: { zero: "kept", minusOne: "kept", most: "kept" },
      },
    },
    {
      field: "cpu/realtimePeriod",
      ...cpu("realtimePeriod"),
      files: ["cpu.rt_period_us", undefined],
      base: 500_000,
      most: UINT64,
      cells: { zero: "kept", minusOne: "refused", most: "refused" },
      peers: { runc: { most: ["refused", "kept"] } },
    },
    {
      field: "cpu/realtimeRuntime",
      ...cpu("realtimeRuntime"),
      files: ["cpu.rt_runtime_us", undefined],
      most: INT64,
      // -1 is more than the cgroup above has; v2 limits none
      cells: { zero: "kept", minusOne: ["refused", "kept"], most: "refused" },
      peers: {
        runc: { most: ["refused", "kept"] },
        crun: { minusOne: "refused" },
      },
    },
    {
      field: "pids/limit",
      controller: "pids",
      files: ["pids.max", "pids.max"],
      with: (limit) => ({ pids: { limit } }),
      base: 17,
      most: INT64,
      cells: { zero: "kept", minusOne: MAX, most: "refused" },
      peers: { crun: { minusOne: ["refused", MAX] } },
    },
    {
      field: "blockIO/weight",
      controller: "blkio",
      files: ["blkio.bfq.weight", "io.weight"],
      with: (weight) => ({ blockIO: { weight } }),
      base: 500,
      most: UINT16,
      cells: { zero: "kept", minusOne: "refused", most: "refused" },
    },
    {
      field: "blockIO/leafWeight",
      controller: "blkio",
      files: [undefined, undefined],
      with: (leafWeight) => ({ blockIO: { leafWeight } }),
      most: UINT16,
      cells: { zero: "kept", minusOne: "refused", most: "refused" },
      peers: { runc: { most: { create: ["refused", "kept"], update: "kept" } } },
    },
    throttle("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", disk),
    throttle("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps", disk),
    throttle("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops", disk),
    throttle("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops", disk),
    {
      field: "hugepageLimits",
      controller: "hugetlb",
      files: ["hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"],
      with: (limit) => ({ hugepageLimits: [{ pageSize: "2MB", limit }] }),
      base: 4 * MIB,
      most: UINT64,
      cells: { zero: ZERO, minusOne: "refused", most: [V1_NONE, MAX] },
      peers: {
        // runc's update knows none
        runc: { zero: { create: ZERO, update: "kept" }, most: { create: [V1_NONE, MAX], update: "kept" } },
      },
    },
    {
      field: "network/classID",
      controller: "net_cls",
      files: ["net_cls.classid", undefined],
      with: (classID) => ({ network: { classID } }),
      base: 0x100001,
      most: UINT32,
      cells: { zero: "kept", minusOne: "refused", most: [{ text: String(UINT32) }, "refused"] },
    },
  ];
}
