// An image made and unpacked by umoci, run by `hako run`.
import { describe, expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Box, busyboxRootfs, e2e, execute, expectUnchanged, hostSnapshot, needsProgram } from "./support";

function umoci(...args: string[]): void {
  const result = execute("umoci", args);
  if (result.status !== 0) throw new Error(`umoci ${args.join(" ")}: ${result.stderr}`);
}

describe("umoci", () => {
  e2e("init, new, unpack, repack, unpack, run", async () => {
    using box = new Box();
    const image = `${box.path("layout")}:box`;
    umoci("init", "--layout", box.path("layout"));
    umoci("new", "--image", image);
    umoci("unpack", "--image", image, box.path("first"));
    busyboxRootfs(join(box.path("first"), "rootfs"));
    umoci("repack", "--image", image, box.path("first"));
    umoci(
      "config",
      "--image",
      image,
      "--config.cmd",
      "sh",
      "--config.cmd",
      "-c",
      "--config.cmd",
      "echo $GREETING; id -u; pwd; exit 4",
    );
    umoci(
      "config",
      "--image",
      image,
      "--config.env",
      "GREETING=hello",
      "--config.workingdir",
      "/tmp",
      "--config.user",
      "user",
    );
    umoci("unpack", "--image", image, box.path("second"));
    const file = join(box.path("second"), "config.json");
    const config = JSON.parse(readFileSync(file, "utf8"));
    config.process.terminal = false;
    writeFileSync(file, JSON.stringify(config));
    const before = hostSnapshot(box.root);
    const result = box.hako("run", "--bundle", box.path("second"), box.id());
    expect(result).toMatchObject({ status: 4, stdout: "hello\n1000\n/tmp\n", stderr: "" });
    await expectUnchanged(before, box.root);
  }, [needsProgram("umoci")]);
});
