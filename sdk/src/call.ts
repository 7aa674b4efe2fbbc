import type { Readable } from "node:stream";
import { globalWords, type Hako, started, stream } from "./attended.js";
import { type ErrorCode, refusal, SandboxError } from "./errors.js";
import { findExecutable, notStarted } from "./executable.js";

/** A flag of commands that wait: they don't wait on when this process has ended. */
export const WAITING = "--die-with=3";

/** What JSON of hako's log tells of a failure. */
interface Failure {
  level: string;
  msg: string;
  code?: ErrorCode;
}

/** Runs a command of hako's, and gives what it prints. Throws a `SandboxError` where it fails. */
export async function call(
  words: readonly string[],
  { executable = findExecutable(), cwd, ...hako }: Hako,
  signal?: AbortSignal,
): Promise<string> {
  signal?.throwIfAborted();
  const lines = callLines(words, { executable, cwd, ...hako }, signal);
  const read: string[] = [];
  for await (const line of lines) read.push(line);
  return read.join("\n");
}

/** The same, a line at a time as they come. Whoever stops to read ends the command. */
export async function* callLines(
  words: readonly string[],
  { executable = findExecutable(), cwd, ...hako }: Hako,
  signal?: AbortSignal,
): AsyncGenerator<string, void> {
  signal?.throwIfAborted();
  const child = started(executable, [...globalWords(hako), "--log-format=json", ...words], {
    ...(cwd === undefined ? {} : { cwd }),
    // the last is for `WAITING`
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  const abort = () => child.kill("SIGTERM");
  signal?.addEventListener("abort", abort, { once: true });
  const errors: Buffer[] = [];
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", (cause) => reject(notStarted(executable, cwd, cause)));
    child.on("close", resolve);
  });
  // told below, when all is read
  ended.catch(() => {});
  let whole = false;
  try {
    // one that could not be started has no streams, or broken ones
    await Promise.race([new Promise((resolve) => child.once("spawn", resolve)), ended]);
    (child.stdio[3] as Readable).resume();
    stream(child.stderr, "stderr").on("data", (chunk: Buffer) => errors.push(chunk));
    let rest = "";
    for await (const chunk of stream(child.stdout, "stdout").setEncoding("utf8")) {
      const lines = `${rest}${chunk}`.split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
    if (rest !== "") yield rest;
    const status = await ended;
    whole = true;
    if (signal?.aborted === true) throw signal.reason;
    if (status !== 0) throw failureOf(Buffer.concat(errors).toString("utf8"), status);
  } finally {
    signal?.removeEventListener("abort", abort);
    if (!whole) child.kill("SIGTERM");
  }
}

function failureOf(log: string, status: number | null): SandboxError {
  const failures = log.split("\n").flatMap((line): Failure[] => {
    try {
      const entry = JSON.parse(line) as Failure;
      return entry.level === "error" ? [entry] : [];
    } catch {
      return [];
    }
  });
  const last = failures.at(-1);
  if (last === undefined)
    return new SandboxError("system", `hako ended with status ${status}: ${log.trim()}`);
  return refusal(last.code ?? "system", last.msg);
}
