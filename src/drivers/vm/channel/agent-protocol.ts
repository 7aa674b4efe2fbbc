import * as v from "valibot";

/**
 * What the host asks the agent of a machine, and what that answers. Each message is a line of JSON: `{ id, call }` from the host, `{ id, result }`
 * or `{ id, error }` from the agent, in the same order.
 */

/** The port's name in the guest (/sys/class/virtio-ports/PORT/name). */
export const CONTROL_PORT = "hako.agent";
/** The word of the guest's kernel command line without which nothing is an agent. */
export const AGENT_WORD = "hako.agent";
/** Of the messages' form. */
export const PROTOCOL = 1;

/** Words of a guest's are short, or none of ours. */
const shortText = v.pipe(v.string(), v.maxLength(200));
const nothing = v.object({});

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
} as const;

export type AgentCall = keyof typeof ANSWERS;
export type AgentAnswer<Call extends AgentCall> = v.InferOutput<(typeof ANSWERS)[Call]>;

/** A message of the host's. */
export const requestSchema = v.object({
  id: v.pipe(v.number(), v.safeInteger()),
  call: v.picklist(Object.keys(ANSWERS) as AgentCall[]),
});

/** A message of the agent's. */
export const replySchema = v.union([
  v.object({ id: v.pipe(v.number(), v.safeInteger()), result: v.unknown() }),
  v.object({ id: v.pipe(v.number(), v.safeInteger()), error: shortText }),
]);
