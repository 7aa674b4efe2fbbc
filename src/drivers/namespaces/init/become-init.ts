import { SIG } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { descriptorMessage } from "../../../linux/file/descriptor-passing";
import { RANGE_AT } from "../../../linux/remote/remote-code";
import type { RemoteProcess } from "../../../linux/remote/remote-process";
import { filledIn, type StoredTemplate, type Template, templateOf } from "../../../linux/steps/template";
import type { OwnInit } from "../../interface/driver";
import type { InitWord } from "./init-rows";

/** Loaded on first use. */
const rare = {
  get initRows() {
    return require("./init-rows") as typeof import("./init-rows");
  },
};

/** Set by build.ts. */
declare const HAKO_INIT: StoredTemplate<InitWord> | undefined;

/** `steps` count up to it in the names of what may fail. */
const BIRTH: Step = { what: "the program's process: clone", call: "clone", args: [] };

export interface InitPlan extends OwnInit {
  /** It is killed at the end of the process that has made it. */
  diesWithMaker: boolean;
  /** It is under a seccomp filter, of its own. */
  filtered: boolean;
  /** Where it waits for `start`, and the number that the connection will have; undefined if it doesn't wait. */
  start: { socket: Fd; connection: number } | undefined;
}

/** A container's remote process goes on as a first process of hako's, whose child makes these steps, of which the last executes the program. */
export function becomeInit(remote: RemoteProcess, steps: readonly Step[], plan: InitPlan): void {
  const { end, stops, idle, diesWithMaker, filtered, start } = plan;
  remote.prepare(steps, true, [BIRTH]);
  const counted = stops?.number ?? -1;
  const data = filledIn(template(), {
    table: RANGE_AT + remote.prepared,
    birth: steps.length,
    death: diesWithMaker ? SIG.KILL : 0,
    start: start?.socket.number ?? -1,
    connection: start?.connection ?? -1,
    answer: start === undefined ? 0 : descriptorMessage(remote.range.descriptor),
    end: end.number,
    stops: counted,
    below: counted - 1,
    above: counted + 1,
    filtered: filtered ? 1 : 0,
    idle: idle ? 1 : 0,
  });
  remote.becomeRows(data);
}

function template(): Template<InitWord> {
  return typeof HAKO_INIT === "undefined" ? rare.initRows.initProgram(process.arch) : templateOf(HAKO_INIT);
}
