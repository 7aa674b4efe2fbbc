// Arguments, variables, directories and files whose names are not UTF-8: the bytes are what counts.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Box, e2e, execute, HAKO, needsHako, type Result } from "./support";

/** "a\xffb" as the shell's printf takes it: Node's programs can't be given such words. */
const NAME = "a\\377b";
const BYTES = Buffer.from([0x61, 0xff, 0x62]);
const SHOWN = "a\\xffb";

/** Runs a line of shell in which $B is the name, $hako the command with its --root, $dir the box's directory. */
function shell(box: Box, line: string): Result {
  const script = `B=$(printf '${NAME}'); export B; hako() { command "$HAKO" --root "$ROOT" "$@"; }; ${line}`;
  return execute("bash", ["-c", script], {
    cwd: box.dir,
    env: { PATH: process.env.PATH ?? "", HAKO, ROOT: box.root, LC_ALL: "C" },
  });
}

/** The names in a directory, as bytes. */
function namesIn(directory: string): string[] {
  return readdirSync(directory, { encoding: "buffer" }).map((name) => name.toString("latin1"));
}

describe("words that are not UTF-8", () => {
  e2e("are the program's as they are", () => {
    using box = new Box();
    const id = box.started();
    const hex = 'od -An -tx1 | tr -d " \\n"';
    const inContainer = `sh -c 'printf %s "$1$X" | od -An -tx1' sh`;
    const expected = " 61 ff 62 76 fe\n";
    const value = "$(printf 'X=v\\376')";
    const rows = [
      `hako exec -e "${value}" ${id} ${inContainer} "$B"`,
      `X=$(printf 'v\\376') && export X && hako exec -e X ${id} ${inContainer} "$B"`,
      `hako run --rootfs / -e "${value}" ${box.id()} -- ${inContainer} "$B"`,
      `X=$(printf 'v\\376') && export X && hako netns exec /proc/self/ns/net -- ${inContainer} "$B"`,
    ];
    for (const row of rows) expect([row, shell(box, row).stdout]).toEqual([row, expected]);
    expect(shell(box, `printf %s "$B" | ${hex}`).stdout).toBe("61ff62");
  }, [needsHako]);

  e2e("don't make netns exec remove another file", () => {
    using box = new Box();
    const other = Buffer.from("a\ufffdb").toString("latin1");
    const files = `mkdir d; cd d; touch "$B" "$(printf 'a\\357\\277\\275b')"`;
    const result = shell(box, `${files}; hako netns exec /proc/self/ns/net -- rm "$B"`);
    expect([result.status, result.stderr, namesIn(box.path("d"))]).toEqual([0, "", [other]]);
  }, [needsHako]);

  e2e("name bundles, roots, files: each is found", () => {
    using box = new Box();
    const bundle = box.bundle(["sleep", "600"]);
    const id = box.id();
    const lines = [
      `mv '${bundle}' "$B"`,
      `mkdir "root$B"`,
      `export ROOT="$PWD/root$B"`,
      `hako --log "log$B" --log-format json create --bundle "$B" --pid-file "pid$B" ${id}`,
      `hako start ${id}`,
      `hako state ${id} > state`,
      `hako list --format json > list`,
      `hako list > table`,
      `hako exec ${id} true`,
      // the working directory has such a name, too
      `cd "$B" && hako exec --process process.json ${id} pwd; hako --log "log" create x$$; cd ..`,
      `hako delete --force ${id}`,
    ];
    writeFileSync(
      `${bundle}/process.json`,
      JSON.stringify({ cwd: "/", args: ["true"], env: [], user: { uid: 0, gid: 0 } }),
    );
    const { stderr } = shell(box, lines.slice(0, 9).concat(lines.slice(10)).join(" &&\n"));
    expect(stderr).toBe("");
    const latin = (name: string) => namesIn(box.dir).includes(`${name}${BYTES.toString("latin1")}`);
    expect(["root", "pid"].map(latin)).toEqual([true, true]);
    const state = JSON.parse(readFileSync(box.path("state"), "utf8")) as { bundle: string };
    expect(state.bundle).toBe(`${box.dir}/a\udcffb`);
    expect(readFileSync(box.path("list"), "utf8")).toContain("a\\udcffb");
    expect(readFileSync(box.path("table"), "utf8")).toContain(`${box.dir}/${SHOWN} `);
  }, [needsHako]);

  e2e("as a root file system and as a volume of run --rootfs, and as its working directory", () => {
    using box = new Box();
    const bundle = box.bundle(["true"]);
    mkdirSync(box.path("volume"));
    writeFileSync(box.path("volume/file"), "of the volume\n");
    const rootfs = `mv '${bundle}/rootfs' "$B"; mv volume "v$B"`;
    const run = `hako run --rootfs "$B" -v "$PWD/v$B:/mnt$B" ${box.id()} -- sh -c 'cat "/mnt$1/file"' sh "$B"`;
    const result = shell(box, `${rootfs}; ${run}`);
    expect([result.status, result.stdout, result.stderr]).toEqual([0, "of the volume\n", ""]);
    const mount = `hako run --rootfs "$B" --mount "type=bind,src=$PWD/v$B,dst=/m" ${box.id()} -- cat /m/file`;
    expect(shell(box, mount).stdout).toBe("of the volume\n");
    const here = `mkdir "w$B"; cd "w$B"; hako run --rootfs / ${box.id()} -- /bin/pwd | od -An -tx1 | tail -c 15`;
    expect(shell(box, here).stdout).toBe("77 61 ff 62 0a\n");
  }, [needsHako]);

  e2e("go to hooks in the caller's environment", () => {
    using box = new Box();
    const file = box.path("of-hook");
    const bundle = box.bundle(["true"], (config) => {
      const hook = { path: "/bin/sh", args: ["sh", "-c", `printf %s "$B" > ${file}`] };
      config.hooks = { createRuntime: [hook] };
    });
    expect(shell(box, `hako run --bundle '${bundle}' ${box.id()}`).stderr).toBe("");
    expect(readFileSync(file)).toEqual(BYTES);
  });

  e2e("are shown by their bytes in errors", () => {
    using box = new Box();
    const rows: [string, string][] = [
      [`hako run --rootfs "/none$B" x -- true`, `/none${SHOWN}`],
      [`hako create --bundle "/none$B" x`, `/none${SHOWN}`],
      [`hako state "$B"`, SHOWN],
      [`hako "$B"`, SHOWN],
    ];
    for (const [line, shown] of rows) {
      const { status, stderr } = shell(box, line);
      expect([line, status === 0, stderr]).toEqual([line, false, expect.stringContaining(shown)]);
      expect(stderr).not.toContain("\ufffd");
    }
  }, [needsHako]);
});

describe("JSON that is not UTF-8", () => {
  e2e("is refused with the place, and nothing is left", () => {
    using box = new Box();
    const bundle = box.bundle(["echo", "PLACE"]);
    const file = `${bundle}/config.json`;
    const text = readFileSync(file);
    const at = text.indexOf("PLACE");
    const line = text.subarray(0, at).toString().split("\n").length;
    const rows: [Buffer, string][] = [
      [Buffer.from([0x61, 0xff]), "the byte 0xff is not UTF-8"],
      [Buffer.from([0xed, 0xb2, 0x80]), "the byte 0xed is not UTF-8"],
      [Buffer.from("\\udcff"), "half of a surrogate pair"],
      [Buffer.from("\\ud83dx"), "half of a surrogate pair"],
    ];
    for (const [bytes, why] of rows) {
      writeFileSync(file, Buffer.concat([text.subarray(0, at), bytes, text.subarray(at + 5)]));
      const id = box.id();
      const { status, stderr } = box.hako("run", "--bundle", bundle, id);
      expect([status, stderr]).toEqual([1, expect.stringContaining(why)]);
      expect(stderr).toContain(`line ${line}, column `);
      expect(existsSync(`${box.root}/${id}`)).toBe(false);
    }
    writeFileSync(
      file,
      Buffer.concat([text.subarray(0, at), Buffer.from("\\ud83d\\ude00"), text.subarray(at + 5)]),
    );
    expect(box.hako("run", "--bundle", bundle, box.id()).stdout).toBe("\u{1f600}\n");
  }, [needsHako]);
});
