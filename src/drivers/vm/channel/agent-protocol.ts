import * as v from "valibot";
import type { LinkSetting } from "../../../linux/network/network-device";
import type { EntryKind } from "../../../linux/network/network-entries";

/**
 * What the host asks the agent of a machine, and what that answers. Each message is a line of JSON: `{ id, call, data }` from the host, `{ id, result
 * }` or `{ id, error }` from the agent, in the same order.
 */

/** The port's name in the guest (/sys/class/virtio-ports/PORT/name). */
export const CONTROL_PORT = "hako.agent";
/** The word of the guest's kernel command line without which nothing is an agent. */
export const AGENT_WORD = "hako.agent";
/** The tag of the file system that has what the containers' roots and volumes are on the host, each container's in a directory. */
export const TREES_TAG = "hako.trees";
/** The tag of the one with those that are written. */
export const FILES_TAG = "hako.files";
/** In place of a namespace's path: the namespace that a container of the machine has, whose id follows. */
export const OF_CONTAINER = "container:";
/** The type of a mount that is the /dev/shm of the container which its source names. */
export const SHARED_MEMORY = "shm";
/** Of the messages' form. */
export const PROTOCOL = 2;

/** The name of a port for the streams of a process. */
export function streamPort(number: number): string {
  return `hako.stream.${number}`;
}

/** As much of a process's command line as is told. */
export const LONGEST_COMMAND = 4096;

const ENTRIES = ["address", "rule", "route", "neighbour"] as const satisfies readonly EntryKind[];
/** Settings of an interface that the guest takes over (linkSetting). */
const SETTINGS = [
  ...(["ipv4/rp_filter", "ipv6/disable_ipv6", "ipv6/accept_ra", "ipv6/autoconf"] as const),
] as const satisfies readonly LinkSetting[];

/** Words of a guest's are short, or none of ours. */
const shortText = v.pipe(v.string(), v.maxLength(200));
const reason = v.pipe(v.string(), v.maxLength(2000));
const nothing = v.object({});
const index = v.pipe(v.number(), v.integer(), v.minValue(1));
const time = v.pipe(v.number(), v.minValue(0));
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));
const signal = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64));

const pid = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1 << 22));
const processRow = v.object({
  ...{ pid, parent: pid },
  uid: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffffff)),
  seconds: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1e12)),
  command: v.pipe(v.string(), v.maxLength(LONGEST_COMMAND)),
});

/** What is said with each call. */
export const REQUESTS = {
  hello: nothing,
  ping: nothing,
  "power-off": nothing,
  rest: nothing,
  renew: v.object({
    /** Random bytes of the host's, in base64. */
    entropy: v.string(),
    /** Milliseconds since 1970. */
    time,
    hostName: v.string(),
  }),
  clock: v.object({ time }),
  /** How many there are to be, some of which were plugged just now. */
  processors: v.object({ count: v.number() }),
  create: v.object({
    container: v.string(),
    /** The path of its bundle on the host: what hooks are told. */
    bundle: v.string(),
    /** The name of its directory among the trees. */
    tree: v.pipe(v.string(), v.regex(/^[^/.][^/]*$/)),
    /** Whether what it writes to its rootfs is the host's, and whether what it writes to volumes is. */
    writesRootfs: v.boolean(),
    writesVolumes: v.boolean(),
    /** Given when the server of written files has been plugged in: the port that hangs up when that ends. */
    filesPort: v.optional(v.string()),
    /** A config.json, as text: numbers of 64 bits stay what they are. */
    config: v.string(),
    /** A compiled filter in base64 with its flags, in place of one of the config's profile. */
    filter: v.optional(v.object({ program: v.string(), flags: v.number() })),
    /** hako's own first process is the program's parent, or alone. */
    ownInit: v.union([v.boolean(), v.literal("idle")]),
    noNewKeyring: v.boolean(),
    /** The port of its streams. */
    port: v.string(),
  }),
  start: v.object({ container: v.string() }),
  /** Ends what there is of it; none is no error. */
  delete: v.object({ container: v.string() }),
  pause: v.object({ container: v.string() }),
  resume: v.object({ container: v.string() }),
  exec: v.object({
    container: v.string(),
    /** The /process of a config.json, as text. */
    process: v.string(),
    /** KILL is for all that it starts, whatever session or group that makes. */
    gathers: v.boolean(),
    port: v.string(),
  }),
  /** All of the container's network; what it has and is not here is taken from it. */
  network: v.object({
    container: v.string(),
    links: v.array(
      v.object({
        /** By which entries know it. */
        index,
        name: v.string(),
        /** The address of the machine's card that is to be this interface; of loopback there is none. */
        card: v.optional(v.string()),
        mtu: v.number(),
        up: v.boolean(),
        settings: v.record(v.picklist(SETTINGS), v.string()),
      }),
    ),
    /** Of /linux/sysctl, those of the interfaces. */
    sysctls: v.record(v.string(), v.string()),
    /** Addresses, rules, routes, neighbours (network-entries.ts), in base64. */
    entries: v.array(v.object({ kind: v.picklist(ENTRIES), body: v.string() })),
  }),
  /** Ports of the container's loopback that lead to the gateway of its network (src/network), and others that are led to. */
  ports: v.object({ container: v.string(), forwarded: v.array(port), published: v.array(port) }),
  signal: v.object({ container: v.string(), signal, all: v.boolean() }),
  stats: v.object({ container: v.string() }),
  /** Those with higher numbers than this one. */
  processes: v.object({ container: v.string(), after: v.number() }),
  /** Limits in the words of /linux/resources, as text. */
  update: v.object({ container: v.string(), resources: v.string() }),
} as const;

/** What each call is answered with. The host believes nothing else. */
export const ANSWERS = {
  /** Who the agent is. */
  hello: v.object({
    protocol: v.literal(PROTOCOL),
    version: shortText,
    commit: shortText,
    /** The release of the guest's kernel. */
    kernel: shortText,
    /** Seconds since the guest's kernel began. */
    uptime: v.pipe(v.number(), v.minValue(0), v.maxValue(1e9)),
  }),
  ping: nothing,
  /** Answered before the machine is off. */
  "power-off": nothing,
  /** The agent has done once what it is there for, and is as if it had not: the machine can be saved. It answers nothing but `renew` then. */
  rest: nothing,
  /** The machine, which was restored, is like no other one. */
  renew: nothing,
  clock: nothing,
  processors: nothing,
  /** The container waits for its start. */
  create: nothing,
  /** Its program runs, or the further one does. */
  start: nothing,
  delete: nothing,
  pause: nothing,
  resume: nothing,
  exec: nothing,
  network: nothing,
  /** At which ports of the interface's address those are reached that are led to, in the same order. */
  ports: v.object({ published: v.array(port) }),
  update: nothing,
  /** As text (stats-schema.ts). */
  stats: v.object({ stats: v.string() }),
  signal: v.object({ sent: v.boolean() }),
  /** By their numbers; there may be more. */
  processes: v.object({ processes: v.array(processRow), more: v.boolean() }),
} as const;

export type AgentCall = keyof typeof ANSWERS;
export type AgentData<Call extends AgentCall> = v.InferOutput<(typeof REQUESTS)[Call]>;
export type AgentAnswer<Call extends AgentCall> = v.InferOutput<(typeof ANSWERS)[Call]>;

/** A message of the host's. */
export const requestSchema = v.object({
  id: v.pipe(v.number(), v.safeInteger()),
  call: v.string(),
  data: v.optional(v.unknown(), {}),
});

/** What kind of failure it is, as far as exit statuses tell them apart. */
export const FAILURES = [
  ...(["config", "unsupported", "state", "not-found", "command-not-found"] as const),
  ...(["command-not-executable", "system"] as const),
] as const;

/** How many warnings an answer has at most. */
export const MOST_WARNINGS = 20;
const ofReply = {
  id: v.pipe(v.number(), v.safeInteger()),
  /** What people should know, although it has done what it was asked for, or beside why not. */
  warnings: v.optional(v.pipe(v.array(reason), v.maxLength(MOST_WARNINGS)), []),
};

/** A message of the agent's. */
export const replySchema = v.union([
  v.object({ ...ofReply, result: v.unknown() }),
  v.object({
    ...ofReply,
    error: v.object({ code: v.picklist(FAILURES), message: reason }),
  }),
]);
