import * as v from "valibot";
import { asHakoError, HakoError } from "../../base/errors";
import { textOf } from "../../linux/call/bytes";
import { SOCK } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import type { Changes } from "../../linux/file/epoll";
import { hasErrno, readAtMost } from "../../linux/file/file";
import { join } from "../../linux/file/path-text";
import { waitFor } from "../../linux/file/poll";
import { readAllWaiting, writeAllWaiting } from "../../linux/file/stream";
import { accept, unixConnect, unixListen } from "../../linux/file/unix-socket";
import { isNetworkRule, type NetworkRule, networkRule } from "../../network/rule";
import type { RuleSet } from "../../network/rule-set";
import type { ContainerId } from "../../oci/id";
import { readContainer } from "../../state/record";
import { containerDirectory, RULES } from "../../state/root";
import { statusOf } from "../status";

/**
 * `hako policy allow`: the command that serves a container's network listens at a socket in the container's directory, where its user and root
 * can say more rules. A line of JSON goes there, and one comes back.
 */

const LONGEST = 65_536;
/** As long as one asks a command that is stopped, in milliseconds. */
const PATIENCE_MS = 10_000;

const questionSchema = v.object({ rules: v.array(v.string()) });
const answerSchema = v.object({ error: v.optional(v.string()) });

/** Serves the socket. */
export class RuleSocket implements Disposable {
  readonly #listener: Fd;
  readonly #callers = new Map<Fd, string>();

  constructor(
    directory: string,
    private readonly changes: Changes,
    private readonly rules: RuleSet,
  ) {
    this.#listener = unixListen(join(directory, RULES));
    changes.watch(this.#listener, () => this.#take());
  }

  #take(): void {
    const caller = accept(this.#listener, SOCK.NONBLOCK);
    this.#callers.set(caller, "");
    this.changes.watch(caller, () => this.#read(caller));
    // several may have come at once
    this.changes.later(() => this.#takeMore());
  }

  #takeMore(): void {
    if (waitFor(this.#listener, "read", 0)) this.#take();
  }

  #read(caller: Fd): void {
    const said = this.#callers.get(caller);
    if (said === undefined) return;
    const text = said + textOf(readAtMost(caller, LONGEST));
    this.#callers.set(caller, text);
    if (!text.includes("\n") && text.length < LONGEST) return;
    this.changes.forget(caller);
    this.#callers.delete(caller);
    using _ = caller;
    try {
      // short enough for the socket's buffer
      writeAllWaiting(caller, `${JSON.stringify(this.#answer(text))}\n`);
    } catch (error) {
      if (!hasErrno(error, "EPIPE", "ECONNRESET")) throw error;
    }
  }

  #answer(text: string): v.InferOutput<typeof answerSchema> {
    try {
      const { rules } = v.parse(questionSchema, JSON.parse(text));
      for (const rule of rules.map(allowing)) this.rules.add(rule);
      return {};
    } catch (error) {
      return { error: asHakoError(error).oneLine };
    }
  }

  [Symbol.dispose](): void {
    for (const caller of this.#callers.keys()) caller.close();
    this.#listener.close();
  }
}

/** A rule that allows; `allow:` may be left out. */
function allowing(text: string): NetworkRule {
  const rule = networkRule(isNetworkRule(text) ? text : `allow:${text}`);
  if (rule.verdict === "allow") return rule;
  throw HakoError.usage(`${JSON.stringify(text)}: what was allowed can't be taken back`);
}

/** Lets a container that runs reach more; an error of the command line where a rule is none, and then none of them holds. */
export function allowMore(root: string, id: ContainerId, rules: readonly string[]): void {
  for (const rule of rules) allowing(rule);
  const container = readContainer(root, id);
  const status = statusOf(container);
  const failed = (message: string, hint?: string) =>
    new HakoError({ code: "state", message: `container "${id}": ${message}`, hint });
  if (status === "stopped") throw failed("it has ended");
  using socket = serversSocket(root, id, failed);
  writeAllWaiting(socket, `${JSON.stringify({ rules })}\n`);
  if (!waitFor(socket, "read", PATIENCE_MS))
    throw failed("the command that serves its network doesn't answer");
  const text = textOf(readAllWaiting(socket));
  if (text === "") throw failed("the command that serves its network has ended");
  const { error } = v.parse(answerSchema, JSON.parse(text));
  if (error !== undefined) throw failed(error);
}

function serversSocket(
  root: string,
  id: ContainerId,
  failed: (message: string, hint?: string) => HakoError,
): Fd {
  try {
    return unixConnect(join(containerDirectory(root, id), RULES));
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ECONNREFUSED")) throw error;
    throw failed(
      "it has no rules that more could be added to",
      "hako run --network allow:NAME begins with some",
    );
  }
}
