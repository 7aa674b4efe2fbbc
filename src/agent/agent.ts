import * as v from "valibot";
import { asHakoError, type ErrorCode, HakoError } from "../base/errors";
import { COMMIT, VERSION } from "../base/hako-version";
import {
  AGENT_WORD,
  type AgentAnswer,
  type AgentCall,
  type AgentData,
  CONTROL_PORT,
  FAILURES,
  MOST_WARNINGS,
  PROTOCOL,
  REQUESTS,
  requestSchema,
} from "../drivers/vm/channel/agent-protocol";
import { JsonLines, LONGEST_REQUEST } from "../drivers/vm/channel/json-lines";
import { REBOOT } from "../linux/call/constants";
import { syscall } from "../linux/call/syscall";
import { Changes } from "../linux/file/epoll";
import { readText } from "../linux/file/file";
import { setRealtime } from "../linux/kernel/clock";
import { hearingWarnings, logWarning } from "../output/log";
import { openPort } from "./ports";
import { useProcessors } from "./processors";
import { type AnswerRequest, rehearse } from "./rehearsal";
import { renew } from "./renewal";

/** Loaded on first use: most guests are only asked whether they are there. */
const rare = {
  get containers() {
    return require("./containers") as typeof import("./containers");
  },
};

/** What the host reads of an error (agent-protocol.ts). */
const MOST_REASON = 2000;
/** How long the host may take to read an answer. */
const ANSWER_MS = 10_000;
/** How long a machine without a container waits for what a host has to say: who made it may have been killed. */
const ALONE_MS = 120_000;
/** How long it waits for a container after it was asked whether it is there. */
const STAY_MS = 10_000;
/** How often what nobody tells of is looked for: the ends of orphans. */
const LOOK_MS = 5000;

type Containers = InstanceType<typeof import("./containers").Containers>;
/** What each call does. */
type Calls = { readonly [Call in AgentCall]: (data: AgentData<Call>) => AgentAnswer<Call> };

/** The guest's first process: it answers the host's requests, and has the containers. */
export class Agent {
  readonly #changes = new Changes();
  readonly #aloneMs: number;
  #containers: Containers | undefined;
  #asked = performance.now();
  #ends = false;
  /** The machine is saved, or has just been restored: nothing is to happen that would happen in all of its kind. */
  #rests = false;
  /** Until when it is there although nothing is in it: the host is about to make a container. */
  #stays = 0;

  constructor(aloneMs = ALONE_MS) {
    this.#aloneMs = aloneMs;
  }

  readonly #calls: Calls = {
    hello: () => ({
      protocol: PROTOCOL,
      version: VERSION,
      commit: COMMIT,
      kernel: readText("/proc/sys/kernel/osrelease").trim(),
      uptime: Number(readText("/proc/uptime").split(" ")[0]),
    }),
    ping: () => {
      this.#stays = performance.now() + STAY_MS;
      return {};
    },
    "power-off": () => {
      this.#ends = true;
      return {};
    },
    rest: () => {
      this.#containers = new rare.containers.Containers(this.#changes);
      const answer: AnswerRequest = (call, data) => JSON.stringify(this.#answer(call, data));
      rehearse(answer, this.#containers, this.#changes);
      this.#containers = undefined;
      // nobody has announced a container to the machines that come of this one
      this.#stays = 0;
      Bun.gc(true);
      this.#rests = true;
      return {};
    },
    renew: (data) => {
      renew(data);
      this.#rests = false;
      return {};
    },
    clock: ({ time }) => {
      setRealtime(time);
      return {};
    },
    processors: ({ count }) => {
      useProcessors(count);
      return {};
    },
    create: (data) => {
      this.#containers ??= new rare.containers.Containers(this.#changes);
      this.#containers.create(data);
      return {};
    },
    start: ({ container }) => {
      this.#there(container).start(container);
      return {};
    },
    delete: ({ container }) => {
      this.#containers?.delete(container);
      return {};
    },
    pause: ({ container }) => {
      this.#there(container).pause(container);
      return {};
    },
    resume: ({ container }) => {
      this.#there(container).resume(container);
      return {};
    },
    exec: (data) => {
      this.#there(data.container).exec(data);
      return {};
    },
    network: (data) => {
      this.#there(data.container).network(data);
      return {};
    },
    ports: (data) => ({ published: this.#there(data.container).ports(data) }),
    stats: ({ container }) => ({ stats: this.#there(container).stats(container) }),
    processes: (data) => this.#there(data.container).processes(data),
    update: (data) => {
      this.#there(data.container).update(data);
      return {};
    },
    signal: ({ container, signal, all }) => ({
      sent: this.#there(container).signal(container, signal, all),
    }),
  };

  #there(container: string): Containers {
    if (this.#containers !== undefined) return this.#containers;
    throw new HakoError({ code: "not-found", message: `container "${container}" does not exist` });
  }

  /**
   * Serves whatever hosts come to the port, one after the other, until one has the machine go off, its containers have ended, or it has none and
   * nobody comes.
   */
  serve(lines: JsonLines): void {
    this.#changes.watch(lines.fd, () => this.#answerAll(lines));
    while (!this.#ends) {
      const has = this.#containers?.look() ?? "none";
      const patience = this.#asked + this.#aloneMs - performance.now();
      const goesOn = performance.now() <= this.#stays;
      if ((has === "all have ended" && !goesOn) || (has === "none" && patience <= 0)) return;
      this.#changes.wait(has === "none" ? patience : LOOK_MS);
    }
  }

  /** Answers what is there to be read; what a host has said that has gone is dropped. */
  #answerAll(lines: JsonLines): void {
    for (;;) {
      const came = lines.read();
      if (came === "end") lines.forget();
      if (came !== "something") return;
      while (!this.#ends && lines.has) this.#answerNext(lines);
      if (this.#ends) return;
    }
  }

  #answer(call: string, data: unknown): object {
    if (!isCall(call))
      throw new HakoError({
        code: "unsupported",
        message: `${call}: hako ${VERSION}, which is in the machine, does not know this call`,
      });
    const answer = this.#calls[call] as (data: unknown) => object;
    return answer(v.parse(REQUESTS[call], data));
  }

  /** A command of the host's that was killed may have left half a request: what is none, or can't be answered any more, is left. */
  #answerNext(lines: JsonLines): void {
    this.#asked = performance.now();
    try {
      const { id, call, data } = requestOf(lines.take(), lines);
      if (this.#rests && call !== "renew") throw lines.broken(`${call} before renew`);
      const reply = replyTo(id, () => this.#answer(call, data));
      lines.send(reply, performance.now() + ANSWER_MS);
    } catch (error) {
      logWarning(asHakoError(error).oneLine);
    }
  }
}

/** A host may be newer than what its machine was made with. */
function isCall(name: string): name is AgentCall {
  return Object.hasOwn(REQUESTS, name);
}

/** What a message says, if it is a request. */
function requestOf(message: unknown, lines: JsonLines): v.InferOutput<typeof requestSchema> {
  const request = v.safeParse(requestSchema, message);
  if (request.success) return request.output;
  throw lines.broken("something that is no request");
}

/** The reply, with what the action has warned of: nobody reads the guest's console. */
function replyTo(id: number, action: () => object): object {
  const warnings: string[] = [];
  const hear = (message: string) => {
    if (warnings.length < MOST_WARNINGS) warnings.push(message.slice(0, MOST_REASON));
  };
  return { ...hearingWarnings(hear, () => resultOf(id, action)), ...(warnings.length > 0 && { warnings }) };
}

function resultOf(id: number, action: () => object): object {
  try {
    return { id, result: action() };
  } catch (thrown) {
    const { code, oneLine } = asHakoError(thrown);
    const known = (FAILURES as readonly ErrorCode[]).includes(code);
    return { id, error: { code: known ? code : "system", message: oneLine.slice(0, MOST_REASON) } };
  }
}

/** Refuses to be an agent but as the first process of a machine whose kernel command line says so: what a caller says decides nothing. */
export function checkIsAgent(pid: number, commandLine: string): void {
  if (pid === 1 && commandLine.trim().split(/\s+/).includes(AGENT_WORD)) return;
  throw new HakoError({
    code: "unsupported",
    message: "the agent is the first process of a machine that hako has started, and nothing else",
  });
}

/** Is the agent of a machine, which is off in the end, whatever that is. */
export function runAgent(): never {
  try {
    using lines = new JsonLines(openPort(CONTROL_PORT), "the host", LONGEST_REQUEST);
    new Agent().serve(lines);
  } catch (error) {
    // the console is standard error
    process.stderr.write(`hako: agent: ${asHakoError(error).oneLine}\n`);
  }
  syscall("reboot", REBOOT.MAGIC1, REBOOT.MAGIC2, REBOOT.POWER_OFF, 0);
  throw new Error("reboot(2) came back");
}
