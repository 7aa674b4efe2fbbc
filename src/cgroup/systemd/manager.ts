import { asHakoError, HakoError } from "../../base/errors";
import { addressesOf, type Scope as BusScope } from "../../dbus/address";
import { type BusReply, Connection, type SignalMatch } from "../../dbus/connection";
import type { Value, Variant } from "../../dbus/types";
import { callerVariable } from "../../linux/file/caller-environment";
import { exists, hasErrno } from "../../linux/file/file";
import { effectiveUser } from "../../linux/process/rootless";
import { logDebug } from "../../output/log";

const SYSTEMD = "org.freedesktop.systemd1";
const MANAGER = `${SYSTEMD}.Manager`;
const MANAGER_PATH = "/org/freedesktop/systemd1";
const PROPERTIES = "org.freedesktop.DBus.Properties";
const JOB_REMOVED: SignalMatch = { interface: MANAGER, member: "JobRemoved" };
/** How long to wait for a job, as runc. */
const JOB_MS = 30_000;
/** systemd forgets a unit that has just ended within moments: so often a scope of the same name is tried again. */
const LEFTOVER_ATTEMPTS = 10;

/** Whether there is a socket of the host's systemd, or of that of the user's session. */
export function isReachable(scope: BusScope): boolean {
  return addressesOf(scope, variableOf).some(({ socket }) => socket.startsWith("@") || exists(socket));
}

/** The caller's variable. Without one a user's sockets are at their usual place, as under cron. */
function variableOf(name: string): string | undefined {
  const uid = effectiveUser();
  const usual = name === "XDG_RUNTIME_DIR" && uid !== 0 ? `/run/user/${uid}` : undefined;
  return callerVariable(name) || usual;
}

/** A property of a unit, in the type that systemd wants. */
export type Property = readonly [name: string, value: Variant];

/** The interface of systemd's manager (org.freedesktop.systemd1(5)), as far as containers need it; for the time of one command. */
export class Manager implements Disposable {
  readonly #connection: Connection;
  #subscribed = false;
  #version: number | undefined;

  private constructor(
    connection: Connection,
    readonly scope: BusScope,
  ) {
    this.#connection = connection;
  }

  /** Connects to the host's systemd or to the one of the user's session; an error if it can't be reached. */
  static connect(scope: BusScope): Manager {
    const addresses = addressesOf(scope, variableOf);
    let first =
      addresses.length > 0
        ? undefined
        : missing("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set");
    for (const address of addresses) {
      try {
        const connection = new Connection(address);
        logDebug(`systemd: connected to ${address.socket}`);
        return new Manager(connection, scope);
      } catch (thrown) {
        first ??= asHakoError(thrown);
        // refused, or nobody listens there: the next address may do
        if (!hasErrno(thrown, "ENOENT", "ECONNREFUSED", "EACCES", "EPERM", "ENOTDIR"))
          throw unreachable(scope, thrown);
      }
    }
    throw unreachable(scope, first);
  }

  /** systemd's version as a number, such as 252; 0 if systemd does not tell it. */
  version(): number {
    this.#version ??= Number(/^v?(\d+)/.exec(this.versionText())?.[1] ?? 0);
    return this.#version;
  }

  versionText(): string {
    return String(this.#property(MANAGER_PATH, MANAGER, "Version"));
  }

  /** The directory of systemd's units in the cgroup hierarchies: "" or "/user.slice/user-1000.slice/user@1000.service". */
  controlGroup(): string {
    const path = String(this.#property(MANAGER_PATH, MANAGER, "ControlGroup"));
    return path === "/" ? "" : path;
  }

  /**
   * Starts a scope and waits until it is there. A unit of the same name that has ended or failed is reset and gives way.
   */
  startScope(unit: string, properties: readonly Property[]): void {
    for (let attempt = 1; ; attempt++) {
      const answer = this.#call(
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        [unit, "fail", properties, []],
        true,
      );
      if (answer.error === undefined) {
        this.#waitForJob("start", unit, answer);
        return;
      }
      if (!is(answer, "UnitExists")) throw refused(`start systemd unit ${unit}`, answer);
      const state = this.unitState(unit);
      const isAlive = ["active", "activating", "reloading"].includes(state);
      if (isAlive || attempt === LEFTOVER_ATTEMPTS) {
        throw new HakoError({
          code: "exists",
          message: `systemd unit ${unit} exists already and is ${state}`,
          hint: "is another container using it? choose another id or linux.cgroupsPath, or systemctl stop it",
        });
      }
      this.resetFailed(unit);
      // up to a second, and two in all
      Bun.sleepSync(2 ** attempt);
    }
  }

  /** Stops a unit and waits for its end. A unit that doesn't exist counts as stopped. */
  stop(unit: string): void {
    const answer = this.#call("StopUnit", "ss", [unit, "replace"], true);
    if (is(answer, "NoSuchUnit")) return;
    if (answer.error !== undefined) throw refused(`stop systemd unit ${unit}`, answer);
    try {
      this.#waitForJob("stop", unit, answer);
    } finally {
      // systemd keeps a unit that has failed, for lack of memory perhaps
      this.resetFailed(unit);
    }
  }

  /** Lets systemd forget a unit that has failed. */
  resetFailed(unit: string): void {
    const answer = this.#call("ResetFailedUnit", "s", [unit]);
    if (answer.error !== undefined && !is(answer, "NoSuchUnit")) {
      logDebug(`systemd: ResetFailedUnit ${unit}: ${answer.error.message}`);
    }
  }

  /** "active", "inactive", "failed" …; a unit that doesn't exist is inactive. */
  unitState(unit: string): string {
    return String(this.#property(unitObject(unit), `${SYSTEMD}.Unit`, "ActiveState"));
  }

  description(unit: string): string {
    return String(this.#property(unitObject(unit), `${SYSTEMD}.Unit`, "Description"));
  }

  /** The present values of those of these properties that a scope has. */
  scopeProperties(unit: string, names: ReadonlySet<string>): Property[] {
    const answer = this.#on(unitObject(unit), PROPERTIES, "GetAll", "s", [`${SYSTEMD}.Scope`]);
    if (answer.error !== undefined) throw refused(`read the properties of systemd unit ${unit}`, answer);
    const all = answer.body[0] as readonly Property[];
    return all.filter(([name]) => names.has(name));
  }

  /** Sets properties until the unit ends. */
  setProperties(unit: string, properties: readonly Property[]): void {
    if (properties.length === 0) return;
    const answer = this.#call("SetUnitProperties", "sba(sv)", [unit, true, properties]);
    if (answer.error === undefined) return;
    const names = properties.map(([name]) => name).join(", ");
    throw refused(`set ${names} of systemd unit ${unit}`, answer);
  }

  /** Moves processes into a unit's cgroup, or one below it ("/a"). */
  attach(unit: string, below: string, pids: readonly number[]): void {
    const answer = this.#call("AttachProcessesToUnit", "ssau", [unit, below === "" ? "/" : below, pids]);
    if (answer.error !== undefined) throw refused(`move a process into systemd unit ${unit}`, answer);
  }

  #property(path: string, name: string, property: string): Value {
    const answer = this.#on(path, PROPERTIES, "Get", "ss", [name, property]);
    if (answer.error !== undefined) throw refused(`read ${property} of systemd`, answer);
    return (answer.body[0] as Variant).value;
  }

  #call(member: string, signature: string, body: readonly Value[], hasJob = false): BusReply {
    if (hasJob && !this.#subscribed) {
      this.#connection.subscribe(SYSTEMD, JOB_REMOVED);
      this.#subscribed = true;
    }
    return this.#on(MANAGER_PATH, MANAGER, member, signature, body);
  }

  #on(path: string, name: string, member: string, signature: string, body: readonly Value[]): BusReply {
    return this.#connection.tryCall({ destination: SYSTEMD, path, interface: name, member, signature, body });
  }

  #waitForJob(what: "start" | "stop", unit: string, { body }: BusReply): void {
    const job = body?.[0];
    const removed = this.#connection.waitForSignal(JOB_REMOVED, JOB_MS, ([, path]) => path === job);
    const result = removed?.[3];
    if (result === "done") return;
    if (what === "start") this.resetFailed(unit);
    const how = result === undefined ? `did not end within ${JOB_MS / 1000} s` : `ended with "${result}"`;
    throw new HakoError({
      code: "system",
      message: `systemd's job to ${what} ${unit} ${how}`,
      hint: "see journalctl -b and systemctl list-jobs",
    });
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}

/** The path of a unit's object: letters and digits stay, every other byte is "_" and its hexadecimal number. */
function unitObject(unit: string): string {
  const escaped = [...Buffer.from(unit)].map((byte, index) => {
    const letter = String.fromCharCode(byte);
    const isPlain = /[A-Za-z]/.test(letter) || (index > 0 && /\d/.test(letter));
    return isPlain ? letter : `_${byte.toString(16).padStart(2, "0")}`;
  });
  return `${MANAGER_PATH}/unit/${escaped.join("")}`;
}

function is({ error }: BusReply, name: string): boolean {
  return error?.name === `${SYSTEMD}.${name}`;
}

/** What to try about an error of D-Bus or of systemd, by its name. */
const HINTS: Readonly<Record<string, string>> = {
  "org.freedesktop.DBus.Error.ServiceUnknown": "systemd is not on this bus",
  "org.freedesktop.DBus.Error.NameHasNoOwner": "systemd is not on this bus",
  "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired":
    "run as root, or as a user with its own systemd",
  "org.freedesktop.DBus.Error.AccessDenied": "run as root, or as a user with its own systemd",
  "org.freedesktop.DBus.Error.PropertyReadOnly":
    "this systemd does not know the property, or can't change it: see systemctl --version",
  "org.freedesktop.DBus.Error.UnknownProperty": "this systemd does not know it: see systemctl --version",
};

function refused(what: string, { error }: BusReply): HakoError {
  const name = error?.name ?? "";
  const isDenied = name.endsWith(".AccessDenied") || name.endsWith(".InteractiveAuthorizationRequired");
  return new HakoError({
    code: "system",
    errno: isDenied ? "EACCES" : undefined,
    message: `${what}: ${error?.message} [${name}]`,
    hint: HINTS[name],
  });
}

function missing(message: string): HakoError {
  return new HakoError({ code: "unsupported", message });
}

function unreachable(scope: BusScope, cause: unknown): HakoError {
  const hint =
    scope === "system"
      ? "is systemd running? without it leave --systemd-cgroup out, and use the cgroupfs manager of your client"
      : "is there a systemd --user? install dbus-user-session and log in anew, or loginctl enable-linger; else leave --systemd-cgroup out";
  const whose = scope === "system" ? "systemd" : "the user's systemd";
  return new HakoError({ code: "unsupported", message: `${whose} can't be reached`, cause, hint });
}
