import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Asking, type Ask, type Items } from "../src/asking";

/** A server that says what a test has it say. */
class Server {
  partial: (items: Items) => void = () => undefined;
  answer: (items: Items | null) => void = () => undefined;
  fail: () => void = () => undefined;
  cancelled = 0;

  readonly ask: Ask = (partial) => {
    this.partial = partial;
    const answer = new Promise<Items | null>((resolve, reject) => {
      this.answer = resolve;
      this.fail = () => {
        reject(new Error("gone"));
      };
    });
    return { answer, cancel: () => (this.cancelled += 1) };
  };

  says(text: string): void {
    this.partial(items(text));
  }
}

function items(insertText: string): Items {
  const here = { line: 0, character: 4 };
  return [{ insertText, range: { start: here, end: here } }];
}

function texts(list: Items | null): unknown {
  return list?.map(({ insertText }) => insertText);
}

describe("asking", () => {
  let server: Server;
  let grown: unknown[];

  function ask(patience: number | null = 150): Asking {
    const told = (list: Items): void => {
      grown.push(texts(list));
    };
    return new Asking(server.ask, { column: 4, patience, grown: told });
  }

  beforeEach(() => {
    vi.useFakeTimers();
    server = new Server();
    grown = [];
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it("shows the first line when it is whole, the next when it is, and all in the end", async () => {
    const asking = ask();
    server.says("a = ");
    server.says("a = 1\n");
    expect(texts(await asking.first)).toEqual(["a = 1"]);
    expect(asking.growing).toBe(true);
    server.says("a = 1\nb");
    server.says("a = 1\nb = 2\nc");
    server.answer(items("a = 1\nb = 2\nc = 3"));
    await vi.runAllTimersAsync();
    expect(grown).toEqual([["a = 1\nb = 2"], ["a = 1\nb = 2\nc = 3"]]);
    expect(asking.growing).toBe(false);
  });

  it("shows whole words to who has waited long enough, and more of them later", async () => {
    const asking = ask(150);
    server.says("first_name, sec");
    vi.advanceTimersByTime(149);
    expect(asking.growing).toBe(false);
    vi.advanceTimersByTime(1);
    expect(texts(await asking.first)).toEqual(["first_name,"]);
    server.says("first_name, second_name, th");
    vi.advanceTimersByTime(150);
    expect(grown).toEqual([["first_name, second_name,"]]);
  });

  it("shows nothing of a line before it is whole where there is no limit", () => {
    const asking = ask(null);
    server.says("a, b, c");
    vi.advanceTimersByTime(60_000);
    expect(asking.growing).toBe(false);
  });

  it("shows an answer that comes at once as it is, with all its candidates", async () => {
    const asking = ask();
    server.answer([...items("a"), ...items("b")]);
    expect(texts(await asking.first)).toEqual(["a", "b"]);
    expect(grown).toEqual([]);
  });

  it("is not shown again what is shown already", async () => {
    const asking = ask();
    server.says("a = 1\n");
    await asking.first;
    server.answer(items("a = 1"));
    await vi.runAllTimersAsync();
    expect(grown).toEqual([]);
  });

  it("takes back what the server has cut away in the end", async () => {
    const asking = ask();
    server.says("a = 1\nb = 2\n");
    await asking.first;
    server.answer(items("a = 1"));
    await vi.runAllTimersAsync();
    expect(grown).toEqual([["a = 1"]]);
  });

  it("cancels its request once, and hears nothing any more", async () => {
    const asking = ask();
    asking.cancel();
    asking.cancel();
    server.says("a = 1\n");
    server.answer(items("a = 1"));
    await vi.runAllTimersAsync();
    expect(await asking.first).toBeNull();
    expect(server.cancelled).toBe(1);
    expect(grown).toEqual([]);
  });

  it("cancels also what is shown in part", async () => {
    const asking = ask();
    server.says("a = 1\n");
    await asking.first;
    asking.cancel();
    server.answer(items("a = 1\nb = 2"));
    await vi.runAllTimersAsync();
    expect(server.cancelled).toBe(1);
    expect(grown).toEqual([]);
    expect(asking.growing).toBe(false);
  });

  it("does not cancel what has been answered", async () => {
    const asking = ask();
    server.answer(items("a"));
    await asking.first;
    asking.cancel();
    expect(server.cancelled).toBe(0);
  });

  it("is null where the connection has ended", async () => {
    const asking = ask();
    server.fail();
    expect(await asking.first).toBeNull();
  });
});
