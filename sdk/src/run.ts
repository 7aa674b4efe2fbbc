import { randomBytes } from "node:crypto";
import {
  CHANNEL_FLAGS,
  type Given,
  globalWords,
  type Hako,
  POLICY_FLAG,
  SandboxProcess,
  type SpawnSettings,
} from "./attended.js";
import { ProgramError } from "./errors.js";
import { flagWords } from "./flags.js";
import { EXEC_FLAGS, type ExecFlags, RUN_FLAGS, type RunFlags } from "./generated.js";
import { Input, type ProgramInput } from "./input.js";
import { checkCommand, checkOptions } from "./options.js";
import { UntoldEnd } from "./outcome.js";
import { Output } from "./output.js";
import type { Result } from "./result.js";

/** What the sandbox is: `hako run`'s flags. */
export interface SandboxOptions extends RunFlags, Hako {
  /** A root file system: "/", the default, is the machine's own, whose writes are thrown away; a directory; or an image. */
  rootfs?: string | undefined;
  /** The container's id; one is made if not given. */
  id?: string | undefined;
}

/** What a call that waits for the end has beside. */
export interface CaptureSettings {
  /** What the program reads from its standard input: a text, bytes, or a stream of these, as `createReadStream(file)`; nothing if not given. */
  input?: ProgramInput | undefined;
  /** How much of standard output, and of standard error, is kept: 64 MiB if not given. The program may write more, which is thrown away. */
  maxOutputBytes?: number | undefined;
  /** A program that does not end with status 0 is a `ProgramError`. */
  check?: boolean | undefined;
  /** Ends the program, and all that it has started, when it is aborted: the call is rejected with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Has output come as bytes; as UTF-8 if not given. */
export interface AsBytes {
  /** Bytes, not texts. */
  encoding: "buffer";
}

/** A program and its arguments. */
export interface Command {
  /** May be left out for an image, which has one of its own. */
  command?: readonly string[] | undefined;
}

export type SpawnOptions = SandboxOptions & SpawnSettings & Command;
export type RunOptions = SandboxOptions & CaptureSettings & Command;
export type ExecOptions = ExecFlags & CaptureSettings;
export type ExecSpawnOptions = ExecFlags & SpawnSettings;

const MAX_OUTPUT_BYTES = 64 << 20;

/** An id that no other container has. */
export function newId(): string {
  return `sdk-${randomBytes(8).toString("hex")}`;
}

function runWords({ policy, ...options }: SandboxOptions, last: readonly string[]): string[] {
  const { id, rootfs = "/" } = options;
  const named = id === undefined ? [] : [`--name=${id}`];
  const given = typeof policy === "object" ? [POLICY_FLAG] : flagWords(RUN_FLAGS, { policy });
  const flags = [...given, ...flagWords(RUN_FLAGS, options), ...CHANNEL_FLAGS];
  return [...globalWords(options), "run", `--rootfs=${rootfs}`, ...named, ...flags, ...last];
}

/** The last words of a call. */
const IDLE = ["--idle"];
const program = ({ command = [] }: Command): string[] => ["--", ...command];

function givenPolicy({ policy }: SandboxOptions): Given {
  return typeof policy === "object" ? { policy } : {};
}

/** Starts a program in a sandbox of its own. What hako refuses is told by the `outcome` of what comes back. */
export function spawn(options: SpawnOptions): SandboxProcess {
  checkOptions("spawn", options);
  return new SandboxProcess(runWords(options, program(options)), options, options, givenPolicy(options));
}

/** Runs a program in a sandbox of its own to its end. Throws a `SandboxError` where the sandbox has failed. */
export async function run(options: RunOptions & AsBytes): Promise<Result<Uint8Array>>;
export async function run(options: RunOptions): Promise<Result>;
export async function run(options: RunOptions): Promise<Result | Result<Uint8Array>> {
  checkOptions("run", options);
  const name = options.command?.[0] ?? "the image's program";
  const words = runWords(options, program(options));
  return await captured(words, options, options, name, givenPolicy(options));
}

/** A sandbox without a program, for those of `exec`. Its options are checked already. */
export function idle(options: SandboxOptions & SpawnSettings): SandboxProcess {
  const settings = { ...givenPolicy(options), closesInput: true };
  return new SandboxProcess(runWords(options, IDLE), options, options, settings);
}

/** The container that commands are run in. */
interface Container extends Hako {
  id: string;
}

function execWords(container: Container, command: readonly string[], options: ExecFlags): string[] {
  const flags = [...flagWords(EXEC_FLAGS, options), ...CHANNEL_FLAGS];
  return [...globalWords(container), "exec", ...flags, container.id, "--", ...command];
}

/** The same in a container that runs already. */
export function execSpawn(
  container: Container,
  command: readonly string[],
  options: ExecSpawnOptions,
): SandboxProcess {
  checkOptions("a sandbox's spawn", options);
  checkCommand("a sandbox's spawn", command);
  return new SandboxProcess(execWords(container, command, options), container, options);
}

export async function exec(
  container: Container,
  command: readonly string[],
  options: ExecOptions,
): Promise<Result | Result<Uint8Array>> {
  checkOptions("exec", options);
  checkCommand("exec", command);
  return await captured(execWords(container, command, options), container, options, command[0] ?? "");
}

async function captured(
  words: readonly string[],
  hako: Hako,
  {
    input,
    maxOutputBytes = MAX_OUTPUT_BYTES,
    check = false,
    signal,
    encoding,
  }: CaptureSettings & Partial<AsBytes>,
  program: string,
  given: Given = {},
): Promise<Result | Result<Uint8Array>> {
  const closesInput = input === undefined;
  const running = new SandboxProcess(words, hako, { signal }, { ...given, closesInput });
  const [stdout, stderr] = [running.stdout, running.stderr].map(
    (stream) => new Output(stream, maxOutputBytes),
  ) as [Output, Output];
  const fed = input === undefined ? undefined : new Input(input, running);
  const outcome = await running.outcome.catch(async (error: unknown) => {
    fed?.stop();
    await Promise.all([stdout.settled(), stderr.settled()]);
    fed?.check();
    throw error instanceof UntoldEnd ? error.with(stderr.text) : error;
  });
  fed?.stop();
  await Promise.all([stdout.settled(), stderr.settled()]);
  fed?.check();
  const truncated = stdout.truncated || stderr.truncated;
  const result =
    encoding === "buffer"
      ? { ...outcome, stdout: stdout.bytes, stderr: stderr.bytes, truncated }
      : { ...outcome, stdout: stdout.text, stderr: stderr.text, truncated };
  if (check && (result.exitCode !== 0 || result.timedOut)) throw new ProgramError(program, result);
  return result;
}
