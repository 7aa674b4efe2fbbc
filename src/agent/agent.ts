import * as v from "valibot";
import { asHakoError, HakoError } from "../base/errors";
import { COMMIT, VERSION } from "../base/hako-version";
import {
  AGENT_WORD,
  type AgentAnswer,
  type AgentCall,
  PROTOCOL,
  requestSchema,
} from "../drivers/vm/channel/agent-protocol";
import { JsonLines } from "../drivers/vm/channel/json-lines";
import { REBOOT } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscall } from "../linux/call/syscall";
import { readText } from "../linux/file/file";

const MOST_REASON = 200;

/** What each call does. */
const CALLS: { readonly [Call in AgentCall]: () => AgentAnswer<Call> } = {
  hello: () => ({
    protocol: PROTOCOL,
    version: VERSION,
    commit: COMMIT,
    kernel: readText("/proc/sys/kernel/osrelease").trim(),
    uptime: Number(readText("/proc/uptime").split(" ")[0]),
  }),
  ping: () => ({}),
  "power-off": () => ({}),
};

/** Refuses to be an agent but as the first process of a machine whose kernel command line says so: what a caller says decides nothing. */
export function checkIsAgent(pid: number, commandLine: string): void {
  if (pid === 1 && commandLine.trim().split(/\s+/).includes(AGENT_WORD)) return;
  throw new HakoError({
    code: "unsupported",
    message: "the agent is the first process of a machine that hako has started, and nothing else",
  });
}

/** Answers the host until that has the machine go off, or says nothing any more. */
export function serveHost(lines: JsonLines): void {
  for (;;) {
    const message = lines.receive(Number.POSITIVE_INFINITY);
    const request = v.safeParse(requestSchema, message);
    if (!request.success) throw lines.broken("something that is no request");
    const { id, call } = request.output;
    lines.send(reply(id, call), Number.POSITIVE_INFINITY);
    if (call === "power-off") return;
  }
}

function reply(id: number, call: AgentCall): object {
  try {
    return { id, result: CALLS[call]() };
  } catch (error) {
    return { id, error: asHakoError(error).oneLine.slice(0, MOST_REASON) };
  }
}

/** The guest's first process: serves the host over a port. The machine is off in the end, whatever that is. */
export function runAgent(openPort: () => Fd): never {
  try {
    using lines = new JsonLines(openPort(), "the host");
    serveHost(lines);
  } catch (error) {
    // the console is standard error
    process.stderr.write(`hako: agent: ${asHakoError(error).oneLine}\n`);
  }
  syscall("reboot", REBOOT.MAGIC1, REBOOT.MAGIC2, REBOOT.POWER_OFF, 0);
  throw new Error("reboot(2) came back");
}
