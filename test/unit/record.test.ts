import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newRecord } from "../../src/container/new-record";
import { statusOf } from "../../src/container/status";
import { processStatus } from "../../src/linux/process/process";
import { containerId, sandboxId } from "../../src/oci/id";
import { lockContainer } from "../../src/state/lock";
import {
  type ContainerRecord,
  type DriverName,
  readRecord,
  stateOf,
  writeRecord,
} from "../../src/state/record";
import { claimId, containerIds, removeContainerDirectory } from "../../src/state/root";

let root: string;
const ID = containerId("a");

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hako-record-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const SELF = { pid: process.pid, startTime: processStatus(process.pid)?.startTime ?? 0 };

function record(more: Partial<ContainerRecord> = {}): ContainerRecord {
  return {
    id: ID,
    sandbox: sandboxId("a"),
    ociVersion: "1.3.0",
    bundle: "/b",
    rootfs: "/b/rootfs",
    annotations: {},
    created: "2026-01-01T00:00:00.000Z",
    creator: undefined,
    init: SELF,
    ownPidNamespace: true,
    cgroup: undefined,
    hooks: undefined,
    noNewKeyring: false,
    ...more,
  };
}

describe("records", () => {
  test("an id is claimed once", () => {
    claimId(root, ID);
    expect(statSync(join(root, "a")).mode & 0o777).toBe(0o711);
    expect(() => claimId(root, ID)).toThrow('container id "a" already exists');
    removeContainerDirectory(root, ID);
    claimId(root, ID);
  });

  test("written and read back; only its owner reads it", () => {
    claimId(root, ID);
    writeRecord(root, record());
    expect(readRecord(root, ID)).toMatchObject({ id: "a", bundle: "/b", init: SELF });
    expect(statSync(join(root, "a/state.json")).mode & 0o777).toBe(0o600);
  });

  test("missing and broken ones", () => {
    expect(() => readRecord(root, ID)).toThrow('container "a" does not exist');
    mkdirSync(join(root, "a"));
    expect(() => readRecord(root, ID)).toThrow("does not exist");
    for (const text of ["", "{", "null", "{}", '{"id":"b","bundle":"/"}']) {
      writeFileSync(join(root, "a/state.json"), text);
      expect(() => readRecord(root, ID)).toThrow("state.json is broken");
    }
  });

  test("a new one has the number of its format, and its driver unless that is the default", () => {
    const bundle = { path: "/b", rootfs: "/b/rootfs", config: { ociVersion: "1.3.0" } };
    const made = (driver: string) =>
      newRecord({ id: ID, bundle, noNewKeyring: false, driver: driver as DriverName });
    expect(made("namespaces")).toMatchObject({ format: 1, driver: undefined, sandbox: sandboxId("a") });
    expect(made("vm").driver as string).toBe("vm");
  });

  test("those without a number of their format are of the first one", () => {
    claimId(root, ID);
    writeRecord(root, record());
    expect(readRecord(root, ID).format).toBeUndefined();
    for (const more of [{ format: 1 }, { format: 1, driver: "namespaces" as const }]) {
      writeRecord(root, record(more));
      expect(readRecord(root, ID)).toMatchObject(more);
    }
  });

  test("a newer format, or a driver that is not there, is refused by its name", () => {
    claimId(root, ID);
    const file = join(root, "a/state.json");
    for (const [more, said] of [
      [{ format: 2 }, `container "a": ${file} is of format 2, and this hako knows up to 1`],
      [{ format: "later" }, `container "a": ${file} is of format "later", and this hako knows up to 1`],
      [{ driver: "other" }, `container "a": ${file} is of the driver "other", which this hako does not have`],
      [{ driver: 7 }, `container "a": ${file} is of the driver 7, which this hako does not have`],
    ] as const) {
      writeRecord(root, record(more as Partial<ContainerRecord>));
      expect(() => readRecord(root, ID)).toThrow(said);
    }
    // also where the rest of it means something else by then
    writeFileSync(file, JSON.stringify({ format: 2, name: "a" }));
    expect(() => readRecord(root, ID)).toThrow("is of format 2");
  });

  test("ids: what is no container is left out", () => {
    for (const name of ["b", "a", "containers-mapping", "#x"]) mkdirSync(join(root, name));
    expect(containerIds(root) as string[]).toEqual(["a", "b"]);
    expect(containerIds(join(root, "none"))).toEqual([]);
  });
});

describe("statusOf", () => {
  const gone = { pid: process.pid, startTime: 1 };
  const rows: [string, Partial<ContainerRecord>, string][] = [
    ["its creator works on it", { creator: SELF, init: undefined }, "creating"],
    ["its creator was killed", { creator: gone }, "stopped"],
    ["its process runs", {}, "running"],
    ["its process has gone", { init: gone }, "stopped"],
    ["it never had one", { init: undefined }, "stopped"],
  ];
  for (const [name, more, status] of rows) {
    test(name, () => {
      claimId(root, ID);
      expect(statusOf({ root, record: record(more) }) as string).toBe(status);
    });
  }

  test("the document", () => {
    expect(stateOf(record(), "running")).toEqual({
      ociVersion: "1.3.0",
      id: "a",
      status: "running",
      pid: process.pid,
      bundle: "/b",
      annotations: {},
    });
    expect(stateOf(record(), "stopped").pid).toBe(0);
  });
});

describe("locks", () => {
  test("one holder; nobody waits for ever", () => {
    claimId(root, ID);
    const first = lockContainer(root, ID);
    expect(() => lockContainer(root, ID, 30)).toThrow('container "a" is busy');
    first?.close();
    lockContainer(root, ID, 30)?.close();
  });

  test("what does not exist has none", () => {
    expect(lockContainer(root, ID)).toBeUndefined();
  });
});
