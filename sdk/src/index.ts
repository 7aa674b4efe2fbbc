// the types have streams and signals of Node.js in them: who uses them needs @types/node, and is told so by the compiler
/// <reference types="node" preserve="true" />
export { type Hako, SandboxProcess, type SpawnSettings } from "./attended.js";
export { Changes, type ChosenPaths, changes } from "./changes.js";
export { Container, type ContainerEvent, container } from "./container.js";
export { type ErrorCode, ProgramError, SandboxError } from "./errors.js";
export { findExecutable } from "./executable.js";
export type { Change, Ended, ExecFlags, Policy, Report, RunFlags, State, Stats } from "./generated.js";
export type { ProgramInput } from "./input.js";
export type { Outcome, Refused, Result, Usage } from "./result.js";
export {
  type AsBytes,
  type CaptureSettings,
  type Command,
  type ExecOptions,
  type ExecSpawnOptions,
  type RunOptions,
  run,
  type SandboxOptions,
  type SpawnOptions,
  spawn,
} from "./run.js";
export { Sandbox } from "./sandbox.js";
