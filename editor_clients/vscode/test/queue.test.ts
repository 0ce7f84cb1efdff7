import { describe, expect, it } from "vitest";
import { Queue } from "../src/queue";

describe("a queue", () => {
  it("does one thing at a time, and what is wished for again once", async () => {
    const queue = new Queue();
    const done: string[] = [];
    let release: () => void = () => undefined;
    const first = queue.run("restart", async () => {
      await new Promise<void>((resolve) => (release = resolve));
      done.push("first");
    });
    await Promise.resolve();
    const task = (name: string) => (): Promise<void> => {
      done.push(name);
      return Promise.resolve();
    };
    const rest = [queue.run("restart", task("second")), queue.run("restart", task("third"))];
    expect(done).toEqual([]);
    release();
    await Promise.all([first, ...rest]);
    expect(done).toEqual(["first", "second"]);
  });

  it("leaves nothing out that is something else", async () => {
    const queue = new Queue();
    const done: string[] = [];
    const names = ["restart", "install", "restart", "stop"];
    await Promise.all(names.map((name) => queue.run(name, () => Promise.resolve(void done.push(name)))));
    expect(done).toEqual(names);
  });

  it("goes on after a failure, which is told to who asked", async () => {
    const queue = new Queue();
    await expect(queue.run("one", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(queue.run("two", () => Promise.resolve())).resolves.toBeUndefined();
  });
});
