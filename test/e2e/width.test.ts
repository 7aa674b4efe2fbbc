// Tables and help on terminals of several widths, and in a pipe.
import { expect } from "bun:test";
import { Box, e2e, execute, HAKO, needsHako, needsProgram } from "./support";
import { onTerminal } from "./terminal";

/** The lines that a command shows on a terminal with so many columns. */
function shownIn(columns: number, ...words: string[]): string[] {
  const { shown, status } = onTerminal(
    [],
    ["sh", "-c", `stty cols ${columns}; exec "$@"`, "sh", HAKO, ...words],
  );
  expect([words, status]).toEqual([words, 0]);
  return shown.trimEnd().split("\r\n");
}

function letters(text: string): string {
  return text.replaceAll(/\s/g, "");
}

e2e("tables fit on a terminal, and lose nothing; in a pipe each row is a line", () => {
  using box = new Box();
  const id = box.started();
  for (const words of [["check"], ["env"], ["cgroup", "show", id], ["sandbox", "show", id]]) {
    const piped = box.ok(...words).stdout;
    const narrow = shownIn(60, "--root", box.root, ...words);
    expect([words, Math.max(...narrow.map((line) => Bun.stringWidth(line))) <= 60]).toEqual([words, true]);
    // numbers of what is used differ from call to call
    const first = (lines: string[]) => lines.flatMap((line) => /^\S+(?= |$)/.exec(line)?.[0] ?? []);
    expect(first(narrow)).toEqual(expect.arrayContaining(first(piped.split("\n"))));
    if (words[0] === "env") expect(letters(narrow.join("\n"))).toHaveLength(letters(piped).length);
    // a terminal that is wide enough shows what a pipe gets
    if (words[0] === "env") expect(`${shownIn(4000, "--root", box.root, ...words).join("\n")}\n`).toBe(piped);
  }
}, [needsHako, needsProgram("python3"), needsProgram("stty")]);

e2e("list has a line for each container on a terminal: bundles and long ids are shortened, unless --no-trunc", () => {
  using box = new Box();
  const id = `${box.id()}${"0123456789abcdef".repeat(4)}`.slice(0, 90);
  box.ok("create", "--bundle", box.bundle(["sleep", "600"]), id);
  const row = box.ok("list").stdout.trimEnd().split("\n")[1] ?? "";
  expect(row).toStartWith(`${id}   `);
  for (const columns of [68, 70, 80, 100]) {
    const [header = "", shown = "", ...others] = shownIn(columns, "--root", box.root, "list");
    expect(others).toEqual([]);
    expect(Bun.stringWidth(shown)).toBeLessThanOrEqual(columns);
    expect(shown).toStartWith(id.slice(0, 11));
    expect(shown).toContain("… ");
    expect(shown.slice(header.indexOf("STATUS"))).toStartWith("created ");
  }
  expect(shownIn(80, "--root", box.root, "list", "--no-trunc").at(-1)).toBe(row);
  expect(shownIn(80, "--root", box.root, "list", "--quiet")).toEqual([id]);
  box.ok("delete", "--force", id);
}, [needsHako, needsProgram("python3"), needsProgram("stty")]);

e2e("help is broken between words to the terminal's width, and to 80 columns elsewhere", () => {
  using box = new Box();
  for (const words of [["--help"], ["run", "--help"], ["exec", "--help"], ["cgroup", "--help"]]) {
    const widest = (lines: string[]) => Math.max(...lines.map((line) => line.length));
    const piped = box.ok(...words).stdout;
    expect(widest(piped.split("\n"))).toBeLessThanOrEqual(80);
    const wide = shownIn(130, ...words);
    if (words[0] === "run") expect(widest(wide)).toBeGreaterThan(100);
    expect(widest(wide)).toBeLessThanOrEqual(130);
    expect(letters(wide.join(""))).toBe(letters(piped));
    // on a phone
    expect(letters(shownIn(45, ...words).join(""))).toBe(letters(piped));
  }
}, [needsHako, needsProgram("python3"), needsProgram("stty")]);

e2e("ps is as wide as the terminal, as the host's is there; in a pipe, and with -ww, nothing is cut", () => {
  using box = new Box();
  const long = `echo ${"0123456789".repeat(30)}; sleep 600; true`;
  const id = box.started(["sh", "-c", long]);
  expect(box.ok("ps", id).stdout).toContain(long);
  const shown = shownIn(100, "--root", box.root, "ps", id);
  expect(Math.max(...shown.map((line) => line.length))).toBe(100);
  expect(shownIn(100, "--root", box.root, "ps", id, "-efww").join("")).toContain(long);
  // where there is no ps, a table of our own
  const own = execute(HAKO, ["--root", box.root, "ps", id], { env: { PATH: box.dir } }).stdout;
  expect(own).toMatch(/^UID +PID +PPID +TIME +CMD\nroot +\d+ +\d+ +00:00:00 +sh -c echo 0123/);
  expect(own).toContain(long);
}, [needsHako, needsProgram("ps"), needsProgram("python3"), needsProgram("stty")]);
