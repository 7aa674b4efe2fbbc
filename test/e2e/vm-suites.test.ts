// The end-to-end tests of namespaces with containers in machines, compared with what vm-suites.txt says of them.
import { afterAll, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { hakoInMachines } from "../clients/in-machines";
import { environment, needsMachine, shared } from "./machines";
import { Box, e2e, execute, TIME_FACTOR, TIME_LIMIT } from "./support";
import { compare, parseList, patternOf, resultsOf, SAMPLE, wholeFiles } from "./vm-suites-list";

const END = ".test.ts";
/** What takes a moment on the host takes an emulated machine some of them. */
const SLOWER = 3;
const list = parseList(readFileSync(`${import.meta.dir}/vm-suites.txt`, "utf8"));
const sample = list.filter(({ says }) => says === SAMPLE);
const files = readdirSync(import.meta.dir)
  .filter((name) => name.endsWith(END))
  .map((name) => name.slice(0, -END.length));

const box = new Box();
afterAll(() => box[Symbol.dispose]());
let made: string | undefined;

/** The path of hako as it is called for machines, which has its template by then. */
function hakoVm(): string {
  if (made !== undefined) return made;
  mkdirSync(box.path("bin"));
  made = hakoInMachines(box.path("bin"));
  const { status, stderr } = execute(made, ["machine", "template", "build"], {
    env: environment(shared.path("cache")),
    timeout: 4 * TIME_LIMIT,
  });
  expect([status, stderr]).toEqual([0, ""]);
  return made;
}

/** What tests of a file that a pattern matches come to, against the list; lines of what is wrong, with what was printed. */
function problems(file: string, pattern: string, all: boolean): string[] {
  const { PATH = "", HOME = "/root" } = process.env;
  const words = [
    "test",
    "--timeout",
    String(2 * TIME_LIMIT),
    "-t",
    pattern,
    `${import.meta.dir}/${file}${END}`,
  ];
  const { status, stdout, stderr } = execute(process.execPath, words, {
    env: { PATH, HOME, HAKO_TIME_FACTOR: String(SLOWER * TIME_FACTOR), HAKO: hakoVm() },
    timeout: 30 * TIME_LIMIT,
  });
  const results = resultsOf(`${stdout}\n${stderr}`);
  const wrong = compare(list, file, results, all);
  if (results.size === 0) wrong.push(`${file}: no test ran: status ${status}`);
  if (wrong.length > 0) console.log(`${stdout}\n${stderr}`);
  return wrong;
}

e2e(
  "what holds for namespaces holds for machines: a sample",
  () => {
    const wrong = [...new Set(sample.map(({ file }) => file))].flatMap((file) =>
      problems(file, patternOf(sample.filter((each) => each.file === file).map(({ name }) => name)), false),
    );
    expect(wrong).toEqual([]);
  },
  [needsMachine],
  10 * TIME_LIMIT,
);

e2e("the list has files that there are", () => {
  expect(list.map(({ file }) => file).filter((file) => !files.includes(file))).toEqual([]);
});

for (const file of wholeFiles(list))
  e2e(
    `what holds for namespaces holds for machines: ${file} @all`,
    () => expect(problems(file, "^(?!.*@all)", true)).toEqual([]),
    [needsMachine],
    40 * TIME_LIMIT,
  );
