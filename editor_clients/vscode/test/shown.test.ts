import { describe, expect, it } from "vitest";
import { Shown } from "../src/shown";

const URI = "file:///a.py";

function item(insertText: string, start: number): { insertText: string; range: { start: object; end: object } } & object {
  const at = { line: 0, character: start };
  return { insertText, range: { start: at, end: at } };
}

/** One that is shown at column 4, where `re` is typed of it already. */
function shown(...texts: string[]): Shown {
  const one = new Shown();
  one.show(URI, 0, 4, texts.map((text) => item(text, 2)) as Parameters<Shown["show"]>[3]);
  return one;
}

function insert(one: Shown, text: string, line = 0, column = 4, uri = URI): [unknown, number] | undefined {
  const accepted = one.insert({ uri, line, column, text });
  return accepted === undefined ? undefined : [accepted.item.insertText, accepted.length];
}

describe("what became of a completion", () => {
  it("tells that a word was accepted, counted from the item's beginning", () => {
    expect(insert(shown("return value"), "turn")).toEqual(["return value", 6]);
  });

  it("counts words that follow each other together", () => {
    const one = shown("return a + b");
    insert(one, "turn");
    expect(insert(one, " a", 0, 8)).toEqual(["return a + b", 8]);
  });

  it("follows accepted lines to the next one", () => {
    const one = shown("return a\nfoo bar");
    expect(insert(one, "turn a\r\n")).toEqual(["return a\nfoo bar", 9]);
    expect(insert(one, "foo", 1, 0)).toEqual(["return a\nfoo bar", 12]);
  });

  it("leaves what is typed uncounted, brackets that the editor closes included", () => {
    const one = shown("re(){}");
    expect(insert(one, "()")).toBeUndefined();
    const typed = shown("return value");
    expect(insert(typed, "t")).toBeUndefined();
    expect(insert(typed, "urn", 0, 5)).toEqual(["return value", 6]);
  });

  it("leaves to the item's command what is accepted whole", () => {
    expect(insert(shown("return"), "turn")).toBeUndefined();
  });

  it("counts nothing that was written elsewhere, or is something else", () => {
    expect(insert(shown("return value"), "turn", 0, 9)).toBeUndefined();
    expect(insert(shown("return value"), "turn", 0, 4, "file:///b.py")).toBeUndefined();
    const other = shown("return value");
    expect(insert(other, "ally")).toBeUndefined();
    expect(insert(other, "turn")).toBeUndefined();
  });

  it("knows the candidate that was accepted", () => {
    expect(insert(shown("return a", "reverse = b"), "verse")).toEqual(["reverse = b", 7]);
  });
});
