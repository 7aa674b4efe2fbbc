import { errnoNumber } from "../../base/errno";
import { address, cString } from "../call/argument-memory";
import { bytesOf } from "../call/bytes";
import { O } from "../call/constants";
import { Fd } from "../call/fd";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import { openAt } from "../file/path";

/** Commands of bpf(2), and the constants of device programs (linux/bpf.h). */
const PROG_LOAD = 5;
const PROG_ATTACH = 8;
const PROG_DETACH = 9;
const PROG_GET_FD_BY_ID = 13;
const PROG_QUERY = 16;
const TYPE_CGROUP_DEVICE = 15;
const ATTACH_CGROUP_DEVICE = 6;
const ALLOW_MULTI = 2;
const REPLACE = 4;
const MAX_PROGRAMS = 64;

/** union bpf_attr, of which each command reads a part. */
function attributes(): DataView {
  return new DataView(new ArrayBuffer(128));
}

function load(instructions: Uint8Array): Fd {
  const license = cString("Apache-2.0");
  const attr = attributes();
  attr.setUint32(0, TYPE_CGROUP_DEVICE, true);
  attr.setUint32(4, instructions.length / 8, true);
  attr.setBigUint64(8, BigInt(address(instructions)), true);
  attr.setBigUint64(16, BigInt(address(license)), true);
  new Uint8Array(attr.buffer).set(bytesOf("hako_devices"), 48);
  const fd = syscallOn("a device program", "bpf", PROG_LOAD, attr, attr.byteLength);
  // The kernel read the instructions and the license through their addresses: they live until here.
  return new Fd(instructions.length + license.length > 0 ? fd : -1);
}

/** The device programs that are attached to a cgroup itself. */
function attached(cgroup: number): Fd[] {
  const ids = new Uint32Array(MAX_PROGRAMS);
  const attr = attributes();
  attr.setUint32(0, cgroup, true);
  attr.setUint32(4, ATTACH_CGROUP_DEVICE, true);
  attr.setBigUint64(16, BigInt(address(ids)), true);
  attr.setUint32(24, ids.length, true);
  if (trySyscall("bpf", PROG_QUERY, attr, attr.byteLength) < 0) return [];
  return [...ids.subarray(0, attr.getUint32(24, true))].map((id) => {
    const request = attributes();
    request.setUint32(0, id, true);
    return new Fd(syscallOn(`program ${id}`, "bpf", PROG_GET_FD_BY_ID, request, request.byteLength));
  });
}

function attach(cgroup: number, program: Fd, flags: number, replaced?: Fd): number {
  const attr = attributes();
  attr.setUint32(0, cgroup, true);
  attr.setUint32(4, program.number, true);
  attr.setUint32(8, ATTACH_CGROUP_DEVICE, true);
  attr.setUint32(12, flags, true);
  attr.setUint32(16, replaced?.number ?? 0, true);
  return trySyscall("bpf", PROG_ATTACH, attr, attr.byteLength);
}

function detach(cgroup: number, program: Fd): void {
  const attr = attributes();
  attr.setUint32(0, cgroup, true);
  attr.setUint32(4, program.number, true);
  attr.setUint32(8, ATTACH_CGROUP_DEVICE, true);
  syscallOn("a device program", "bpf", PROG_DETACH, attr, attr.byteLength);
}

/**
 * Attaches a device program to a cgroup in place of what is there. A single old one is exchanged in one step; otherwise the
 * new one is there before the old ones go, so that there is never a moment without rules.
 */
export function replaceDeviceProgram(dir: string, instructions: Uint8Array): void {
  using opened = openAt(undefined, dir, O.RDONLY | O.DIRECTORY);
  const cgroup = opened.number;
  const old = attached(cgroup);
  try {
    using program = load(instructions);
    const [only] = old;
    if (only !== undefined && old.length === 1) {
      const result = attach(cgroup, program, ALLOW_MULTI | REPLACE, only);
      if (result >= 0) return;
      // Linux before 5.6 does not know the flag
      if (-result !== errnoNumber("EINVAL")) throw systemError("bpf", -result, dir);
    }
    const result = attach(cgroup, program, ALLOW_MULTI);
    if (result < 0) throw systemError("bpf", -result, dir);
    for (const each of old) detach(cgroup, each);
  } finally {
    for (const each of old) each.close();
  }
}
