import { describe, expect, it } from "vitest";
import { wholeLines, wholeWords } from "../src/worth";

/** An item whose range begins and ends at these columns. */
function item(insertText: string, start = 4, end = 4): Parameters<typeof wholeLines>[0] {
  return { insertText, range: { start: { line: 0, character: start }, end: { line: 0, character: end } } };
}

describe("what is worth showing of a completion that grows", () => {
  it.each([
    ["x = 1", undefined],
    ["x = 1\n", "x = 1"],
    ["x = 1\n    y", "x = 1"],
    ["x = 1\n    y = 2\n", "x = 1\n    y = 2"],
    ["\n", undefined],
    ["  \n  x", undefined],
  ])("whole lines of %j are %j", (text, shown) => {
    expect(wholeLines(item(text), 4)?.insertText).toBe(shown);
  });

  it.each([
    ["retu", undefined],
    ["return ", "return"],
    ["return so", "return"],
    ["größe, län", "größe,"],
    ["f(a, b)", "f(a, b)"],
    ["", undefined],
  ])("whole words of %j are %j", (text, shown) => {
    expect(wholeWords(item(text), 4)?.insertText).toBe(shown);
  });

  it("is more than what is typed already", () => {
    expect(wholeWords(item("self.na", 0), 4)?.insertText).toBe("self.");
    expect(wholeWords(item("self.na", 0), 5)).toBeUndefined();
  });

  it("is all of it where brackets behind the cursor are replaced, since they come at its end", () => {
    expect(wholeLines(item("a,\n    b)", 4, 5), 4)?.insertText).toBe("a,\n    b)");
  });
});
