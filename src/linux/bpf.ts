import { Fd } from "./fd";
import { O, openAt } from "./path";
import { address, cString, syscallOn, systemError, trySyscall } from "./syscall";

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
const EINVAL = 22;
const MAX_PROGRAMS = 64;
/** Not among the constants of node:fs. */

/** union bpf_attr, of which each command reads a part. */
function attributes(): Buffer {
  return Buffer.alloc(128);
}

function load(instructions: Buffer): Fd {
  const license = cString("Apache-2.0");
  const attr = attributes();
  attr.writeUInt32LE(TYPE_CGROUP_DEVICE, 0);
  attr.writeUInt32LE(instructions.length / 8, 4);
  attr.writeBigUInt64LE(BigInt(address(instructions)), 8);
  attr.writeBigUInt64LE(BigInt(address(license)), 16);
  attr.write("hako_devices", 48, 15, "latin1");
  const fd = syscallOn("a device program", "bpf", PROG_LOAD, attr, attr.length);
  // The kernel read the instructions and the license through their addresses: they live until here.
  return new Fd(instructions.length + license.length > 0 ? fd : -1);
}

/** The device programs that are attached to a cgroup itself. */
function attached(cgroup: number): Fd[] {
  const ids = new Uint32Array(MAX_PROGRAMS);
  const attr = attributes();
  attr.writeUInt32LE(cgroup, 0);
  attr.writeUInt32LE(ATTACH_CGROUP_DEVICE, 4);
  attr.writeBigUInt64LE(BigInt(address(ids)), 16);
  attr.writeUInt32LE(ids.length, 24);
  if (trySyscall("bpf", PROG_QUERY, attr, attr.length) < 0) return [];
  return [...ids.subarray(0, attr.readUInt32LE(24))].map((id) => {
    const request = attributes();
    request.writeUInt32LE(id, 0);
    return new Fd(syscallOn(`program ${id}`, "bpf", PROG_GET_FD_BY_ID, request, request.length));
  });
}

function attach(cgroup: number, program: Fd, flags: number, replaced?: Fd): number {
  const attr = attributes();
  attr.writeUInt32LE(cgroup, 0);
  attr.writeUInt32LE(program.number, 4);
  attr.writeUInt32LE(ATTACH_CGROUP_DEVICE, 8);
  attr.writeUInt32LE(flags, 12);
  attr.writeUInt32LE(replaced?.number ?? 0, 16);
  return trySyscall("bpf", PROG_ATTACH, attr, attr.length);
}

function detach(cgroup: number, program: Fd): void {
  const attr = attributes();
  attr.writeUInt32LE(cgroup, 0);
  attr.writeUInt32LE(program.number, 4);
  attr.writeUInt32LE(ATTACH_CGROUP_DEVICE, 8);
  syscallOn("a device program", "bpf", PROG_DETACH, attr, attr.length);
}

/**
 * Attaches a device program to a cgroup in place of what is there. A single old one is exchanged in one step; otherwise the
 * new one is there before the old ones go, so that there is never a moment without rules.
 */
export function replaceDeviceProgram(dir: string, instructions: Buffer): void {
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
      if (result !== -EINVAL) throw systemError("bpf", -result, dir);
    }
    const result = attach(cgroup, program, ALLOW_MULTI);
    if (result < 0) throw systemError("bpf", -result, dir);
    for (const each of old) detach(cgroup, each);
  } finally {
    for (const each of old) each.close();
  }
}
