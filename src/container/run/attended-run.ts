import { HeldSignals, takePlace } from "../../linux/attendant/attendant";
import { ATTEND, type Attended } from "../../linux/attendant/attendant-rows";
import { AttendedTerminal } from "../../linux/attendant/attendant-terminal";
import type { SignalRecorder } from "../../linux/attendant/signal-recorder";
import type { Fd } from "../../linux/call/fd";
import { O, openAt } from "../../linux/file/path";
import { ANY } from "../../linux/steps/row-program";
import type { ContainerId } from "../../oci/id";
import { type ContainerRecord, containerDirectory, type ProcessRecord } from "../../state/record";
import { FORWARDED } from "../io/forwarded-signals";
import { endedRunLine } from "./ended-run";
import { endsInRows, removalRows } from "./removal-rows";

const SIGCHLD = 17;

export interface AttendedRun {
  root: string;
  record: ContainerRecord & { init: ProcessRecord };
  /** The container stays, stopped, after its end. */
  keep: boolean;
  /** The terminal that is to be connected to our standard streams. */
  master: Fd | undefined;
  /** Signals that came before. */
  recorder: SignalRecorder;
}

/**
 * Leaves a running container to an attendant, which takes this process's place: it passes signals on and attends the terminal, and
 * removes the container after its end. What it can't do this command does, started again. Comes back only by throwing.
 */
export function leaveRun({ root, record, keep, master, recorder }: AttendedRun): never {
  const { init } = record;
  const terminal = master === undefined ? undefined : new AttendedTerminal(master);
  const inRows = !keep && endsInRows(record);
  const directory = inRows ? openDirectory(root, record.id) : undefined;
  const attended: Attended = {
    child: init.pid,
    recorded: recorder.reader.number,
    part: terminal,
    end(program) {
      program.call("wait4", [init.pid, 0, 0, 0], ANY);
      if (directory !== undefined) removalRows(program, root, record, directory);
      else program.goto(keep ? ATTEND.exit : ATTEND.again);
    },
  };
  const held = new HeldSignals([...Object.values(FORWARDED), SIGCHLD, ...(terminal?.signals ?? [])]);
  takePlace(attended, held, endedRunLine(init), [
    recorder.reader.number,
    ...(terminal?.descriptors ?? []),
    ...(directory === undefined ? [] : [directory.number]),
  ]);
}

function openDirectory(root: string, id: ContainerId): Fd {
  return openAt(undefined, containerDirectory(root, id), O.RDONLY | O.DIRECTORY);
}
