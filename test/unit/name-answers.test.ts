// Answers of DNS to programs in a filtered network.
import { describe, expect, test } from "bun:test";
import { answerQuery } from "../../src/network/name-answers";

const V4 = Uint8Array.of(198, 18, 1, 0);
const V6 = Uint8Array.from({ length: 16 }, (_, at) => (at === 0 ? 0xfd : at));

function query(name: string, type: number, changes: (bytes: number[]) => void = () => undefined): Uint8Array {
  const labels = name === "" ? [] : name.split(".");
  const bytes = [0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  for (const label of labels) bytes.push(label.length, ...Buffer.from(label));
  bytes.push(0, type >> 8, type & 0xff, 0, 1);
  changes(bytes);
  return Uint8Array.from(bytes);
}

function answer(bytes: Uint8Array, names: string[] = ["a.example.com"]) {
  const asked: string[] = [];
  const answered = answerQuery(bytes, (name) => {
    asked.push(name);
    return names.includes(name) ? { v4: V4, v6: V6 } : undefined;
  });
  if (answered === undefined) return undefined;
  const view = new DataView(answered.buffer);
  const [flags, questions, answers] = [view.getUint16(2), view.getUint16(4), view.getUint16(6)];
  return {
    id: view.getUint16(0),
    isAnswer: (flags & 0x8000) !== 0,
    code: flags & 15,
    questions,
    answers,
    asked,
    answered,
  };
}

describe("a name", () => {
  test("that is known has an address of each family, and nothing else", () => {
    expect(answer(query("a.example.com", 1))).toMatchObject({
      id: 0xabcd,
      isAnswer: true,
      code: 0,
      answers: 1,
    });
    expect(answer(query("a.example.com", 1))?.answered.slice(-4)).toEqual(V4);
    expect(answer(query("A.Example.COM", 28))?.answered.slice(-16)).toEqual(V6);
    for (const type of [2, 15, 16, 33, 65, 255])
      expect(answer(query("a.example.com", type))).toMatchObject({ code: 0, answers: 0 });
  });

  test("that is not is not there, and nobody else is asked", () => {
    for (const name of ["b.example.com", "", "com", "x".repeat(63)])
      expect(answer(query(name, 1))).toMatchObject({ code: 3, questions: 1, answers: 0, asked: [name] });
  });

  test("what follows the question, as EDNS does, is left out", () => {
    const long = query("a.example.com", 1, (bytes) => bytes.push(0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0));
    expect(answer(long)).toMatchObject({ code: 0, questions: 1, answers: 1 });
  });
});

describe("hostile packets", () => {
  test("answers, and what is too short, are not answered", () => {
    const isAnswer = query("a.example.com", 1, (bytes) => {
      bytes[2] = 0x81;
    });
    expect(answer(isAnswer)).toBeUndefined();
    for (let length = 0; length < 12; length++)
      expect(answer(query("a", 1).slice(0, length))).toBeUndefined();
  });

  test("a question that is cut off, refers elsewhere, or isn't one is an error of its form", () => {
    const whole = query("a.example.com", 1);
    for (let length = 12; length < whole.length; length++)
      expect(answer(whole.slice(0, length))).toMatchObject({ code: 1, answers: 0, asked: [] });
    const bent: ((bytes: number[]) => void)[] = [
      (bytes) => bytes.splice(12, 2, 0xc0, 0x0c),
      (bytes) => bytes.splice(12, 1, 64),
      (bytes) => bytes.splice(4, 2, 0, 2),
      (bytes) => bytes.splice(-1, 1, 3),
    ];
    for (const bend of bent)
      expect(answer(query("a.example.com", 1, bend))).toMatchObject({ code: 1, asked: [] });
    const updates = query("a.example.com", 1, (bytes) => {
      bytes[2] = 0x28;
    });
    expect(answer(updates)).toMatchObject({ code: 4, asked: [] });
    const long = Array.from({ length: 9 }, () => "x".repeat(31)).join(".");
    expect(answer(query(long, 1))).toMatchObject({ code: 1, asked: [] });
  });

  test("no bytes end it", () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed >> 8;
    };
    for (let turn = 0; turn < 5000; turn++) {
      const bytes = Uint8Array.from({ length: random() % 80 }, () => random() & 0xff);
      const answered = answerQuery(bytes, () => ({ v4: V4, v6: V6 }));
      expect(answered?.length ?? 0).toBeLessThan(400);
    }
  });
});
