// The mapping store as commands.
import { describe, expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Box, e2e, names, needsHako } from "./support";

const AT_ONCE = 50;

describe("mapping", () => {
  e2e("add, get, list, delete", () => {
    using box = new Box();
    expect(box.hako("mapping", "get", "web")).toMatchObject({ status: 1, stdout: "", stderr: "" });
    box.ok("mapping", "add", "web", "pod1");
    box.ok("mapping", "add", "db", "pod2");
    expect(box.ok("mapping", "get", "web").stdout).toBe("pod1\n");
    expect(JSON.parse(box.ok("mapping", "list", "--format", "json").stdout)).toEqual([
      { container: "db", sandbox: "pod2" },
      { container: "web", sandbox: "pod1" },
    ]);
    expect(box.ok("mapping", "list").stdout.replaceAll(/ +/g, " ")).toBe(
      "CONTAINER SANDBOX\ndb pod2\nweb pod1\n",
    );
    const taken = box.hako("mapping", "add", "web", "pod3");
    expect(taken.status).toBe(1);
    expect(taken.stderr).toContain('"web" is already mapped to sandbox "pod1"');
    box.ok("mapping", "delete", "web");
    box.ok("mapping", "delete", "web");
    expect(box.hako("mapping", "get", "web").status).toBe(1);
  }, [needsHako]);

  e2e("a directory with other than one entry", () => {
    using box = new Box();
    const dir = join(box.root, "containers-mapping/web");
    for (const name of ["a", "b"]) mkdirSync(join(dir, name), { recursive: true });
    const result = box.hako("mapping", "get", "web");
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`too many files (2) in "${dir}"`);
    box.ok("mapping", "delete", "web");
    expect(box.hako("mapping", "get", "web")).toMatchObject({ status: 1, stderr: "" });
  }, [needsHako]);

  e2e("bad ids and missing operands", () => {
    using box = new Box();
    for (const words of [
      ["add", "../x", "pod"],
      ["add", "web", "a/b"],
      ["add", "", "pod"],
      ["add", "web", ""],
      ["get", ""],
    ]) {
      const result = box.hako("mapping", ...words);
      expect(result.status).toBe(2);
      expect(result.stderr).toMatch(/(missing|invalid) (container|sandbox) id/);
    }
    expect(box.hako("mapping", "add", "web").status).toBe(2);
    expect(box.hako("mapping").status).toBe(2);
    expect(names(box.root)).toEqual([]);
  }, [needsHako]);

  e2e(`${AT_ONCE} claims of one id at once: one wins`, async () => {
    using box = new Box();
    const results = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, index) => box.later(["mapping", "add", "web", `pod${index}`])),
    );
    const winners = results.flatMap((result, index) => (result.status === 0 ? [index] : []));
    expect(winners.length).toBe(1);
    expect(results.filter((result) => result.status === 1).length).toBe(AT_ONCE - 1);
    expect(box.ok("mapping", "get", "web").stdout).toBe(`pod${winners[0]}\n`);
    expect(names(join(box.root, "containers-mapping"))).toEqual(["web"]);
  }, [needsHako]);

  e2e("a container without annotations is a sandbox of its own", () => {
    using box = new Box();
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(["true"]), id);
    expect(box.ok("mapping", "get", id).stdout).toBe(`${id}\n`);
    box.ok("delete", "--force", id);
    expect(box.hako("mapping", "get", id).status).toBe(1);
  }, [needsHako]);

  e2e("a container of a pod is in the pod's sandbox", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["true"], (config) => {
      config.annotations = {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.sandbox-id": "pod7",
      };
    });
    box.ok("create", "--bundle", bundle, id);
    expect(box.ok("mapping", "get", id).stdout).toBe("pod7\n");
    box.ok("delete", "--force", id);
  }, [needsHako]);
});
